"""Live progress of a training run: loss, dev metric next to the first stage's, pairs per second, time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from transformers import TrainerCallback

from crossforge.errors import InputError
from crossforge_train import processes
from crossforge_train.config.training import PickedTraining
from crossforge_train.reporting import Reporter
from crossforge_train.training.dev_evaluator import DevEvaluator
from crossforge_train.training.history import DEV_FUSED, DEV_METRIC, logged_as
from crossforge_train.training.timing import Pace, pace_of


class TrainingProgress(TrainerCallback):
    """Shows a progress bar and stops a run whose loss is not finite. Use it as a context manager.

    Args:
        reporter: shows progress.
        evaluator: holds the first stage's dev metric.
        loss: the loss in training; it counts the pairs. The model would count those twice that it reads again when the
            backward pass comes to them (`mini_batch`).
        training: the config section.
        pairs_per_query: pairs of a dev query.
    """

    def __init__(
        self,
        reporter: Reporter,
        evaluator: DevEvaluator,
        loss: torch.nn.Module,
        training: PickedTraining,
        pairs_per_query: float,
    ) -> None:
        self._reporter = reporter
        self._evaluator = evaluator
        self._training = training
        self._pairs_per_query = pairs_per_query
        self._stack = ExitStack()
        self._stack.callback(loss.register_forward_pre_hook(self._count).remove)
        self._advance: Callable[..., None] | None = None
        self._loss = self._dev = self._fused = math.nan
        self._pairs, self._steps, self._first = 0, 0, 0
        self.seconds, self._since = 0.0, 0.0  # training time, without dev measurements and checkpoints

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _count(self, loss: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        micro_batches, *_ = arguments[0]
        self._pairs += sum(len(batch["input_ids"]) for batch in micro_batches)

    @property
    def pairs_per_second(self) -> float:
        """Training pairs per second of training time, over all processes."""
        return processes.count() * self._pairs / max(self.seconds, 1e-9)

    def pace(self) -> Pace:
        """How much is done in a minute, on average since training began or resumed."""
        groups = self._steps * self._training.groups_per_batch / processes.count()
        return pace_of(groups, self._pairs, max(self.seconds, 1e-9) / 60, self._pairs_per_query)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar over the remaining steps: counting those before a kill would inflate the speed."""
        self._first = state.global_step
        done = f" from step {self._first}" if self._first else ""
        self._advance = self._stack.enter_context(self._reporter.bar(f"fine-tuning{done}", self._total(state)))
        self._since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance the bar."""
        self.seconds += time.monotonic() - self._since
        self._since = time.monotonic()
        self._steps += 1
        self._show(1, state)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the dev metric, also as a note that stays in a log."""
        self._since = time.monotonic()
        self._show(0, state)
        left = (state.max_steps - state.global_step) * self.seconds / max(1, self._steps)
        self._reporter.note(f"step {state.global_step} of {state.max_steps}: {self._line()}, {_duration(left)} left")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Exclude the time for writing the checkpoint."""
        self._since = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Record loss and dev metric.

        Raises:
            InputError: the loss is not finite.
        """
        found = logs or {}
        self._dev = found.get(logged_as(DEV_METRIC), self._dev)
        self._fused = found.get(logged_as(DEV_FUSED), self._fused)
        self._loss = found.get("loss", self._loss)
        if "loss" in found and not math.isfinite(found["loss"]):
            raise InputError(
                f"training diverged: the loss is {found['loss']} at step {state.global_step}; lower "
                "training.learning_rate and training.head_learning_rate, or set training.precision to fp32"
            )

    def _total(self, state: Any) -> int:
        """The steps from where training began or resumed; a training that is slower than planned takes fewer."""
        return int(state.max_steps - self._first)

    def _show(self, done: int, state: Any) -> None:
        if self._advance is not None:
            self._advance(done, self._line(), self._total(state))

    def _line(self) -> str:
        shown = [] if math.isnan(self._loss) else [f"loss {self._loss:.3f}"]
        if not math.isnan(self._dev):
            shown.append(
                f"dev {self._evaluator.metric} {self._dev:.3f}, {self._fused:.3f} fused with the first stage's "
                f"{self._evaluator.first_stage:.3f}"
            )
        return ", ".join([*shown, f"{self.pairs_per_second:.0f} pairs/s"])


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"

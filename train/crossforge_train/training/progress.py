"""Live progress of a training run: loss, dev metric beside the first stage's, pairs a second, time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from transformers import TrainerCallback

from crossforge.errors import InputError
from crossforge_train.reporting import Reporter
from crossforge_train.training.dev_evaluator import METRIC_NAME, DevEvaluator


class TrainingProgress(TrainerCallback):
    """Shows a bar while training, and stops a run whose loss is no number. Use it as a context manager.

    Args:
        reporter: where to show it.
        evaluator: knows the first stage's dev metric.
        documents: documents of a group, to count pairs.
    """

    def __init__(self, reporter: Reporter, evaluator: DevEvaluator, documents: int) -> None:
        self._reporter = reporter
        self._first_stage = evaluator.first_stage
        self._documents = documents
        self._stack = ExitStack()
        self._advance: Callable[..., None] | None = None
        self._loss = self._dev = math.nan
        self._started, self._first_step = 0.0, 0

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self._advance = self._stack.enter_context(self._reporter.bar("fine-tuning", state.max_steps))
        self._advance(state.global_step)
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance the bar."""
        if self._advance is None:
            return
        seconds = max(time.monotonic() - self._started, 1e-9)
        pairs = (state.global_step - self._first_step) * args.per_device_train_batch_size * self._documents
        self._advance(1, f"loss {self._loss:.3f}, dev {self._dev:.3f} (first stage {self._first_stage:.3f}), "
                         f"{pairs / seconds:.0f} pairs/s")  # fmt: skip

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Take up loss and dev metric.

        Raises:
            InputError: the loss is no number.
        """
        found = logs or {}
        self._dev = found.get(f"eval_{METRIC_NAME}", self._dev)
        self._loss = found.get("loss", self._loss)
        if "loss" in found and not math.isfinite(found["loss"]):
            raise InputError(
                f"training diverged: the loss is {found['loss']} at step {state.global_step}; lower "
                "training.learning_rate and training.head_learning_rate, or set training.precision to fp32"
            )

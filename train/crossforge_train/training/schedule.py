"""The learning rate over the steps of a training, and the callback that ends both within `training.minutes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from crossforge_train import processes
from crossforge_train.reporting import Reporter
from crossforge_train.training.progress import TrainingProgress
from crossforge_train.training.timing import Pace

_LEAST_SECONDS = 60.0  # a shorter time says little about a machine
_TOLERANCE = 0.05  # share of the planned steps that may be out of time


@dataclass
class LinearSchedule:
    """Rises to the learning rate over `warmup` steps and falls to zero at `steps`, which may change on the way.

    A `LambdaLR` writes such an object's attributes into its checkpoints and reads them back, unlike a function's.

    Attributes:
        warmup: steps until the whole rate is reached.
        steps: steps of the training.
        seconds: time that the steps so far took, before a kill as well.
    """

    warmup: int
    steps: int
    seconds: float = 0.0

    def __call__(self, step: int) -> float:
        """The share of the learning rate at a step."""
        if step < self.warmup:
            return step / max(1, self.warmup)
        return max(0.0, (self.steps - step) / max(1, self.steps - self.warmup))


class KeepToTime(TrainerCallback):
    """Lets a training that is slower than planned take fewer steps, and more again, up to the plan, if it catches up.

    The plan is made from a few steps. If other work begins later, training would overrun it.

    Args:
        step_minutes: at a given pace, how many of `training.minutes` are for steps.
        groups_per_batch: groups of a step.
        schedule: of the learning rate; it ends where training ends.
        progress: knows the pace.
        reporter: is told when training leaves the plan.
    """

    def __init__(
        self,
        step_minutes: Callable[[Pace], float],
        groups_per_batch: int,
        schedule: LinearSchedule,
        progress: TrainingProgress,
        reporter: Reporter,
    ) -> None:
        self._step_minutes = step_minutes
        self._groups_per_batch = groups_per_batch
        self._schedule = schedule
        self._progress = progress
        self._reporter = reporter
        self._planned, self._warmup = schedule.steps, schedule.warmup  # a checkpoint's schedule may be shorter
        self._seconds_before = 0.0  # a kill

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on with as many steps as when the checkpoint was written."""
        state.max_steps, self._seconds_before = self._schedule.steps, self._schedule.seconds

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the number of steps anew; the trainer ends with the last one, after measuring dev and saving."""
        schedule = self._schedule
        schedule.seconds = self._seconds_before + self._progress.seconds
        if state.global_step >= state.max_steps or state.global_step % args.logging_steps:
            return
        steps = processes.from_main(lambda: self._steps(state.global_step))
        if schedule.steps == self._planned:
            if steps > (1 - _TOLERANCE) * self._planned:
                return
            self._reporter.note(
                f"training.minutes: slower than planned, so about {steps:,} steps instead of {self._planned:,}"
            )
        schedule.steps = state.max_steps = steps
        # The same share of the steps: a warm-up longer than the training would end it at a high rate.
        schedule.warmup = self._warmup * steps // self._planned

    def _steps(self, done: int) -> int:
        """How many steps fit at the pace so far: at most those planned, at least one more than are done."""
        if self._progress.seconds < _LEAST_SECONDS:
            return self._schedule.steps
        pace = self._progress.pace()
        minutes_left = self._step_minutes(pace) - self._schedule.seconds / 60
        in_time = done + minutes_left * pace.groups / self._groups_per_batch
        return min(self._planned, max(int(in_time), done + 1))

"""Callbacks that stop a run early: dev no longer improves, or the loss never moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, variance
from typing import Any

from transformers import TrainerCallback

from crossforge.errors import InputError
from crossforge_train.training.history import DEV_FUSED, DEV_METRIC, logged_as

_DEV, _FUSED = logged_as(DEV_METRIC), logged_as(DEV_FUSED)
_WINDOW = 0.2  # share of the steps whose losses are averaged
_ENOUGH = 5  # logged losses that a window needs to be meaningful
_GAIN = 0.02  # a loss that fell by less than this share has not moved
_ERRORS = 2  # standard errors by which noise may hide a gain

# The trainer's log, saved in every checkpoint: decisions based on it are the same after a kill.
Log = Sequence[Mapping[str, Any]]


class Patience(TrainerCallback):
    """Stops a run after `patience` dev measurements without improvement; None never stops it."""

    def __init__(self, patience: int | None) -> None:
        self._patience = patience

    def is_over(self, log: Log) -> bool:
        """Whether dev was measured `patience` times since its best value."""
        measured = [entry[_FUSED] for entry in log if _FUSED in entry]
        if self._patience is None or not measured:
            return False
        return len(measured) - 1 - measured.index(max(measured)) >= self._patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop if patience has run out; the checkpoint of this step is still written."""
        if self.is_over(state.log_history):
            control.should_training_stop = True


class StopIfStuck(TrainerCallback):
    """Stops a run whose loss does not move.

    From halfway through, the mean loss of the latest fifth of the steps is compared with that of the first fifth. The
    loss has not moved if it fell by less than 2%, even after allowing two standard errors for batch noise. The loss
    alone cannot tell a run that learns nothing from one that had little to learn, such as a second round. So dev must
    agree: it never got halfway from a random order of the candidates to the first stage's.

    Args:
        chance: dev metric of a random order.
        first_stage: dev metric of the first stage.
    """

    def __init__(self, chance: float, first_stage: float) -> None:
        self._learnt = chance + (first_stage - chance) / 2

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the log.

        Raises:
            InputError: the loss has not moved.
        """
        if self._is_stuck(state.log_history, state.global_step, state.max_steps):
            raise InputError(
                f"training is stuck: by step {state.global_step} of {state.max_steps} the loss has not moved; raise "
                "training.learning_rate and training.head_learning_rate, or check that the labels fit the documents"
            )

    def _is_stuck(self, log: Log, step: int, steps: int) -> bool:
        measured = [entry[_DEV] for entry in log if _DEV in entry]
        if step < steps / 2 or not measured or max(measured) >= self._learnt:
            return False
        first = [entry["loss"] for entry in log if "loss" in entry and entry["step"] <= _WINDOW * steps]
        last = [entry["loss"] for entry in log if "loss" in entry and entry["step"] > step - _WINDOW * steps]
        if min(len(first), len(last)) < _ENOUGH:
            return False
        error = math.sqrt(variance(first) / len(first) + variance(last) / len(last))
        return bool(mean(first) - mean(last) + _ERRORS * error < _GAIN * abs(mean(first)))

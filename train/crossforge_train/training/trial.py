"""Picks what takes trial steps on a few rows: how much fits into the time, and a learning rate that holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from datasets import Dataset

from crossforge_train import processes
from crossforge_train.config.training import AUTO, TrainingConfig
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.training.collator import GroupCollator
from crossforge_train.training.picks import (
    Head,
    Pick,
    Picker,
    learning_rate_by_size,
    pick_epochs,
    pick_head_learning_rate,
    pick_learning_rate,
)
from crossforge_train.training.range_test import (
    BATCHES,
    PASSES,
    drawn_batches,
    loss_of_equal_scores,
    losses_by_rate,
    safe_multiple,
)
from crossforge_train.training.time_limit import TimeLimit
from crossforge_train.training.timing import Pace, measure_pace


@dataclass(frozen=True)
class Trial:
    """What trial steps are made with.

    Attributes:
        training: the config section, with what is picked before.
        loss: holds the model.
        batches: returns a few batches of the training rows.
        pairs_per_query: pairs of a dev query.
        bf16: whether to compute in bf16.
    """

    training: TrainingConfig
    loss: GroupLoss
    batches: Callable[[], Sequence[dict[str, Any]]]
    pairs_per_query: float
    bf16: bool


def trial_batches(
    dataset: Dataset, collate: GroupCollator, groups_per_batch: int, seed: int
) -> Callable[[], Sequence[dict[str, Any]]]:
    """Collates four batches of rows, drawn with a seed, when they are first asked for."""
    return cache(lambda: [collate(rows) for rows in drawn_batches(dataset, groups_per_batch, seed)])


def pick_by_trial(
    picker: Picker, trial: Trial, head: Head, *, groups: int, dev_queries: int, merges: int, spent: float
) -> Callable[[Pace], float] | None:
    """Pick evaluations, dev queries, epochs and learning rates.

    Args:
        picker: keeps them.
        trial: what trial steps are made with.
        head: the model's head.
        groups: number of training groups.
        dev_queries: queries of the dev split that have a relevant document.
        merges: mixtures with the starting weights that are measured at the end.
        spent: minutes that preparing the training has taken so far.

    Returns:
        At a given pace, how many of `training.minutes` are for steps; None if all epochs are to be trained, however
        long it takes.
    """
    training = trial.training
    # Measuring the pace takes a pass as well. The main process tries alone, while a pace is that of all processes.
    passes = 1 + (PASSES if training.learning_rate == AUTO else 0)
    limit = TimeLimit(
        training.minutes,
        cache(lambda: measure_pace(trial.loss, trial.batches(), trial.pairs_per_query, bf16=trial.bf16)),
        tried=processes.count() * passes * min(groups, BATCHES * training.groups_per_batch),
        spent=spent,
    )
    measurements = merges + int(picker.pick("evaluations", lambda: limit.evaluations(dev_queries, merges)))
    measured = min(dev_queries, int(picker.pick("dev_queries", lambda: limit.dev_queries(measurements))))
    picker.pick("epochs", lambda: pick_epochs(groups, limit.groups(measurements * measured)))
    rate = picker.pick("learning_rate", lambda: _rate_that_holds(trial, head))
    picker.pick("head_learning_rate", lambda: pick_head_learning_rate(rate, head))
    if training.minutes is None or training.epochs != AUTO:
        return None
    return partial(limit.step_minutes, measured_queries=measurements * measured)


def _rate_that_holds(trial: Trial, head: Head) -> Pick:
    """The rate for the model's size, lowered if training diverges at that rate on a few of the rows."""
    wanted = trial.training.head_learning_rate
    size = sum(value.numel() for value in trial.loss.parameters())
    rate = learning_rate_by_size(size, head=head, adapters=trial.training.lora is not None)
    head_rate = pick_head_learning_rate(rate, head)[0] if isinstance(wanted, str) else wanted
    losses = losses_by_rate(trial.loss, trial.batches(), rate, head_rate, bf16=trial.bf16)
    return pick_learning_rate(rate, safe_multiple(losses, loss_of_equal_scores(trial.loss, trial.batches())))

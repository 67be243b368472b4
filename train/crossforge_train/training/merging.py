"""Merges a trained reranker with its starting model, so that it forgets less of what that model knew.

This is plain weight interpolation (`mixing.py`); sentence-transformers' `merge` would need mergekit for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from crossforge.heads.choice import scoring_head
from crossforge_train.evaluation.resampling import means_over_resamples
from crossforge_train.mixing import mixed

State = Mapping[str, torch.Tensor]


class Merged(NamedTuple):
    """The kept share of the starting weights, and the mean dev quality of each share tried."""

    share: float
    measured: Mapping[float, float]


def tried_shares(merge: float | Sequence[float]) -> tuple[float, ...]:
    """The shares that are measured: one that is set is mixed in whatever dev says; from a list, dev may choose 0."""
    if isinstance(merge, float):
        return (merge,)
    return (0.0, *merge) if merge else ()


def merge_with_start(
    model: Any, start: Path, shares: Sequence[float], measure: Callable[[], Sequence[float]], seed: int
) -> Merged:
    """Mix the model's weights with its starting weights, in place, in the proportion that is best on dev.

    Args:
        model: a transformers one-label sequence classifier.
        start: folder of its starting model: a reranker or a graft.
        shares: shares of the starting weights to try; 0 is the model as it is, 1 its start.
        measure: returns the dev quality of the model's current weights for each query.
        seed: seed of the resampling.

    Returns:
        The kept share and all measurements.
    """
    tuned = {name: value.detach().clone() for name, value in model.state_dict().items()}
    first = scoring_head(start).load(start).state_dict()
    measured = {}
    for share in sorted(set(shares)):
        _set(model, tuned, first, share)
        measured[share] = measure()
    kept = _steadily_best(measured, seed)
    _set(model, tuned, first, kept)
    return Merged(kept, {share: float(np.mean(values)) for share, values in measured.items()})


def _steadily_best(measured: Mapping[float, Sequence[float]], seed: int) -> float:
    """The share nearest to the best one's mean over resamples of the queries: a few queries do not decide.

    Of equally good shares the largest counts, so that where training changes nothing the start remains. No share is
    kept whose mean over all queries is below that of the largest, which is the start itself if that is tried.
    """
    shares = np.array(sorted(measured, reverse=True))
    values = np.array([measured[share] for share in shares])
    mean = shares[means_over_resamples(values, seed).argmax(axis=0)].mean()
    overall = values.mean(axis=1).round(6)
    no_worse = shares[overall >= overall[0]]
    return float(no_worse[np.abs(no_worse - mean).argmin()])


def _set(model: Any, tuned: State, first: State, share: float) -> None:
    model.load_state_dict(mixed(tuned, first, share))

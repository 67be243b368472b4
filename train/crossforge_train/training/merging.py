"""Merges a trained reranker with what it started from, so that less of what that knew is forgotten.

Plain interpolation of weights, without mergekit, which sentence-transformers' `merge` would bring in for this one line.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForSequenceClassification

State = Mapping[str, torch.Tensor]


class Merged(NamedTuple):
    """The share of the starting weights that was kept, and for each share that was tried the quality on dev."""

    share: float
    measured: Mapping[float, float]


def merge_with_start(
    model: Any, start: Path, shares: Sequence[float], known: Mapping[float, float], measure: Callable[[], float]
) -> Merged:
    """Leave in the model the mixture of its weights with those that it started from that is best on dev.

    Args:
        model: a transformers one-label sequence classifier.
        start: folder of the model that it was trained from: a reranker, or a graft.
        shares: of the starting weights, to try.
        known: quality on dev of shares that need not be tried: of 0, which is the model as it is, if it may stay so.
        measure: the same of a mixture that is in its place.

    Returns:
        What was measured; of equally good shares the largest is kept.
    """
    tuned = {name: value.detach().clone() for name, value in model.state_dict().items()}
    first = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, local_files_only=True).state_dict()
    measured = dict(known)
    for share in sorted(set(shares)):
        _set(model, tuned, first, share)
        measured[share] = measure()
    kept = max(measured, key=lambda share: (measured[share], share))
    _set(model, tuned, first, kept)
    return Merged(kept, measured)


def _set(model: Any, tuned: State, first: State, share: float) -> None:
    mixed = {
        name: torch.lerp(value, first[name].to(value), share) if value.is_floating_point() else value
        for name, value in tuned.items()
    }
    model.load_state_dict(mixed)

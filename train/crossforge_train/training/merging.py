"""Merges a trained reranker with what it started from, so that less of what that knew is forgotten.

Plain interpolation of weights, without mergekit, which sentence-transformers' `merge` would bring in for this one line.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

State = Mapping[str, torch.Tensor]


def merge_with_start(
    model: Any, start: Path, shares: Sequence[float], measure: Callable[[], float]
) -> dict[str, float]:
    """Leave in the model the mixture of its weights with those that it started from that is best on dev.

    Args:
        model: a transformers one-label sequence classifier.
        start: folder of the model that it was trained from: a reranker, or a graft.
        shares: of the starting weights, to try beside none.
        measure: the model's quality on dev.

    Returns:
        For each share the quality; of equal ones the largest share is kept.
    """
    tuned = {name: value.detach().clone() for name, value in model.state_dict().items()}
    first = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, local_files_only=True).state_dict()
    measured: dict[str, float] = {}
    for share in sorted({0.0, *shares}):
        _set(model, tuned, first, share)
        measured[f"{share:g}"] = measure()
    _set(model, tuned, first, max(map(float, measured), key=lambda share: (measured[f"{share:g}"], share)))
    return measured


def _set(model: Any, tuned: State, first: State, share: float) -> None:
    mixed = {
        name: torch.lerp(value, first[name].to(value), share) if value.is_floating_point() else value
        for name, value in tuned.items()
    }
    model.load_state_dict(mixed)

"""Merges a trained reranker with its starting model, so that it forgets less of what that model knew.

This is plain weight interpolation; sentence-transformers' `merge` would need mergekit for this one line.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from crossforge.heads.choice import scoring_head

State = Mapping[str, torch.Tensor]


class Merged(NamedTuple):
    """The kept share of the starting weights, and the dev quality of each share tried."""

    share: float
    measured: Mapping[float, float]


def merge_with_start(
    model: Any, start: Path, shares: Sequence[float], known: Mapping[float, float], measure: Callable[[], float]
) -> Merged:
    """Mix the model's weights with its starting weights, in place, in the proportion that is best on dev.

    Args:
        model: a transformers one-label sequence classifier.
        start: folder of its starting model: a reranker or a graft.
        shares: shares of the starting weights to try.
        known: dev quality of shares that need not be tried: of 0, the unchanged model, if it may win.
        measure: returns the dev quality of the model's current weights.

    Returns:
        The kept share and all measurements; the largest of equally good shares is kept.
    """
    tuned = {name: value.detach().clone() for name, value in model.state_dict().items()}
    first = scoring_head(start).load(start).state_dict()
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

"""Mixes a trained model's weights with those that it started with, so that less is forgotten.

Source: M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def mixed(trained: Mapping[str, Tensor], start: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The weights a share of the way back to the start: 0 is the trained model, 1 its start.

    Args:
        trained: state of the trained model.
        start: state that it started with, under the same names; whole numbers are not taken from it.
        share: share of the starting weights.
    """
    import torch

    return {
        name: torch.lerp(value, start[name].to(value), share) if value.is_floating_point() else value
        for name, value in trained.items()
    }

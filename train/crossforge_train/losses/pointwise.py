"""Losses that look at each document by itself."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import Tensor

from crossforge_train.losses.matrix import masked_mean


def binary_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Relevant (label above 0) or not, positives weighted up to balance a batch.

    sentence-transformers takes the label itself for the target, whose loss has no lower bound for labels above 1; here
    every grade above 0 counts as relevant. The weight is what it calls `pos_weight`.
    """
    relevant = (targets > 0).float()
    negatives_per_positive = ((1 - relevant) * mask).sum() / (relevant * mask).sum().clamp(min=1)
    losses = F.binary_cross_entropy_with_logits(logits, relevant, pos_weight=negatives_per_positive, reduction="none")
    return masked_mean(losses, mask)


def mse(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared distance of the logit from the target."""
    return masked_mean((logits - targets) ** 2, mask)

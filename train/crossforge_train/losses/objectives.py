"""Objectives over a matrix of logits: one row a group, one column a document; padding is marked by `mask`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import Tensor

# (logits, labels, mask), each (groups, documents) -> scalar
Objective = Callable[[Tensor, Tensor, Tensor], Tensor]


def group_softmax(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy between a group's softmax and its labels scaled to sum 1 (several positives and grades allowed).

    Source: localized contrastive estimation, L. Gao et al., "Rethink training of BERT rerankers in multi-stage
    retrieval pipeline", ECIR 2021.
    """
    gains = labels.clamp(min=0) * mask
    targets = gains / gains.sum(dim=1, keepdim=True).clamp(min=1e-9)
    return -(targets * _log_softmax(logits, mask)).sum(dim=1).mean()


def binary_cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Each document by itself: relevant (label above 0) or not, positives weighted up to balance a group."""
    targets = (labels > 0).float()
    negatives_per_positive = ((1 - targets) * mask).sum() / (targets * mask).sum().clamp(min=1)
    losses = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=negatives_per_positive, reduction="none")
    return (losses * mask).sum() / mask.sum()


def kl_distillation(logits: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """KL divergence of a group's softmax from the softmax of the teacher's scores / temperature.

    Source: S. Lin et al., "In-batch negatives for knowledge distillation with tightly-coupled teachers", 2021.
    """
    wanted = _log_softmax(teacher / temperature, mask)
    return (wanted.exp() * (wanted - _log_softmax(logits, mask)) * mask).sum(dim=1).mean()


def _log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    # A finite fill: -inf would turn 0 · log 0 into NaN.
    return torch.log_softmax(scores.masked_fill(mask == 0, -1e4), dim=1)

"""What every loss is: a function of three matrices, one row a group, one column a document."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# (logits, targets, mask), each of shape (groups, documents) -> scalar. Targets are labels or a teacher's scores; the
# mask is 1 where there is a document and 0 where a row is padded. The documents of a row stand positives first.
Objective = Callable[[Tensor, Tensor, Tensor], Tensor]

# Fills padding: below every logit, so that padding never counts, and finite, so that 0 · log 0 is no NaN.
LOWEST = torch.finfo(torch.float32).min


def log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Log of each row's softmax over its documents; padding has no part in it and gets 0."""
    return torch.log_softmax(scores.masked_fill(mask == 0, LOWEST), dim=1).masked_fill(mask == 0, 0.0)


def pairs(mask: Tensor) -> Tensor:
    """Whether both of two documents of a row are there, shape (groups, documents, documents)."""
    present = mask > 0
    return present[:, :, None] & present[:, None, :]


def differences(values: Tensor) -> Tensor:
    """Each document's value less each other's, shape (groups, documents, documents)."""
    return values[:, :, None] - values[:, None, :]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over what the mask keeps; 0 where it keeps nothing."""
    return torch.where(mask > 0, values, torch.zeros_like(values)).sum() / (mask > 0).sum().clamp(min=1)

"""Losses that look at two documents of a group at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import Tensor

from crossforge_train.losses.matrix import LOWEST, Objective, differences, masked_mean, pairs

# (gains of shape (groups, documents), discounts of shape (documents,)), by falling logit -> weight of each pair
Weights = Callable[[Tensor, Tensor], Tensor]
_MU = 10.0  # share of NDCGLoss2 in NDCGLoss2++, as in the paper


def margin_mse(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared distance between the margin of logits and of targets, of the first document over each other one.

    Source: S. Hofstätter et al., "Improving efficient neural ranking models with cross-architecture knowledge
    distillation", 2020.
    """
    others = mask[:, 1:]
    return masked_mean(((logits[:, :1] - logits[:, 1:]) - (targets[:, :1] - targets[:, 1:])) ** 2, others)


def ranknet(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Log loss of each pair that the targets put in order.

    Source: C. Burges et al., "Learning to rank using gradient descent", ICML 2005.
    """
    ordered = pairs(mask) & (differences(targets) > 0)
    return masked_mean(-F.logsigmoid(differences(logits)) / math.log(2), ordered)


def _lambda_loss(weights: Weights, *, equals: bool = False) -> Objective:
    """A weighted log loss of pairs; `equals` counts pairs that the targets do not put in order, too.

    Source: X. Wang et al., "The LambdaLoss framework for ranking metric optimization", CIKM 2018.
    """

    def objective(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        order = logits.detach().masked_fill(mask == 0, LOWEST).argsort(dim=1, descending=True, stable=True)
        logits, mask = logits.gather(1, order), mask.gather(1, order)
        labels = targets.gather(1, order).clamp(min=0) * mask
        discounts = torch.log2(torch.arange(labels.shape[1], device=labels.device) + 2.0)
        # 2^label - 1, divided by 2^(highest label of the group): the factor drops out, and no label overflows.
        top = labels.amax(dim=1, keepdim=True)
        plain = (2 ** (labels - top) - 2**-top) * mask
        best = (plain.sort(dim=1, descending=True).values / discounts).sum(dim=1, keepdim=True)
        gains = plain / best.clamp(min=1e-10)
        counted = pairs(mask) if equals else pairs(mask) & (differences(targets.gather(1, order)) > 0)
        losses = -weights(gains, discounts) * F.logsigmoid(differences(logits)) / math.log(2)
        return masked_mean(losses, counted)

    return objective


def _bound1(gains: Tensor, discounts: Tensor) -> Tensor:
    return (gains / discounts)[:, :, None]


def _bound2(gains: Tensor, discounts: Tensor) -> Tensor:
    ranks = torch.arange(len(discounts), device=gains.device)
    apart = (ranks[:, None] - ranks[None, :]).abs()
    # Discounts of the distance itself and of the next one; one more than there are ranks, and nothing for distance 0.
    inverse = 1 / torch.log2(torch.arange(len(discounts) + 1, device=gains.device).clamp(min=1) + 1.0)
    change = (inverse[apart] - inverse[apart + 1]).abs()
    return change.fill_diagonal_(0.0) * differences(gains).abs()


def _swaps(gains: Tensor, discounts: Tensor) -> Tensor:
    inverse = 1 / discounts
    return (inverse[:, None] - inverse[None, :]).abs() * differences(gains).abs()


def _bound2pp(gains: Tensor, discounts: Tensor) -> Tensor:
    return _MU * _bound2(gains, discounts) + _swaps(gains, discounts)


ndcg_loss1 = _lambda_loss(_bound1, equals=True)
ndcg_loss2 = _lambda_loss(_bound2)
ndcg_loss2pp = _lambda_loss(_bound2pp)
lambda_rank = _lambda_loss(_swaps)

"""Losses that look at a whole group at once."""

from __future__ import annotations

import torch
from torch import Tensor

from crossforge_train.losses.matrix import LOWEST, differences, log_softmax, masked_mean, pairs

_SCALE = 10.0  # of sigmoid scores in `multiple_negatives`, as sentence-transformers has it


def group_softmax(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy between a group's softmax and its labels scaled to sum 1 (several positives and grades allowed).

    Source: localized contrastive estimation, L. Gao et al., "Rethink training of BERT rerankers in multi-stage
    retrieval pipeline", ECIR 2021.
    """
    gains = targets.clamp(min=0) * mask
    shares = gains / gains.sum(dim=1, keepdim=True).clamp(min=1e-9)
    return -(shares * log_softmax(logits, mask)).sum(dim=1).mean()


def cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy with the most relevant document of a group (the first of equally relevant ones) as its class.

    The classes are the documents of a group: sentence-transformers has one logit for each class of a pair, and a model
    with one label has only one. With one relevant document it is `group_softmax`; a group without any is left out.
    """
    best = targets.masked_fill(mask == 0, LOWEST).argmax(dim=1, keepdim=True)
    relevant = targets.gather(1, best) > 0
    return masked_mean(-log_softmax(logits, mask).gather(1, best), relevant)


def multiple_negatives(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """`cross_entropy` of sigmoid scores times 10; meant for documents of other queries as negatives besides.

    Source: M. Henderson et al., "Efficient natural language response suggestion for Smart Reply", 2017.
    """
    return cross_entropy(_SCALE * torch.sigmoid(logits), targets, mask)


def list_net(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy between the softmax of the logits and the softmax of the targets.

    Source: Z. Cao et al., "Learning to rank: from pairwise approach to listwise approach", ICML 2007.
    """
    return -(log_softmax(targets, mask).exp() * log_softmax(logits, mask)).sum(dim=1).mean()


def list_mle(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood of the order of the targets under a Plackett–Luce model; equal targets in given order.

    sentence-transformers takes documents as they come unless `respect_input_order` is off; here they are always put
    in the order of the targets, since a group has no order of its own.

    Source: F. Xia et al., "Listwise approach to learning to rank: theory and algorithm", ICML 2008.
    """
    log_likelihoods, _ = _plackett_luce(logits, targets, mask)
    return -log_likelihoods.sum(dim=1).mean()


def p_list_mle(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """`list_mle` with the weight 2^(documents - rank) - 1 for each rank, scaled to sum 1 in a group.

    Source: Y. Lan et al., "Position-aware ListMLE: a sequential learning process for ranking", UAI 2014.
    """
    log_likelihoods, present = _plackett_luce(logits, targets, mask)
    # The weights differ from 2^-rank by a common factor, which drops out, and never overflow in long groups.
    ranks = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    weights = (torch.pow(2.0, -ranks) - torch.pow(2.0, -mask.sum(dim=1, keepdim=True))) * present
    shares = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-30)
    return -(shares * log_likelihoods).sum(dim=1).mean()


def adr_mse(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared distance between a soft rank by logits and the rank by targets, discounted by the log of the latter.

    Documents with equal targets share the mean of their ranks.

    Source: F. Schlatt et al., "Rank-DistiLLM: closing the effectiveness gap between cross-encoders and LLMs for passage
    re-ranking", ECIR 2025; approximate ranks are those of T. Qin et al., Information Retrieval 2010.
    """
    both = pairs(mask)
    above = differences(targets)
    equal = ((above == 0) & both).sum(dim=2)
    ranks = ((above < 0) & both).sum(dim=2) + (equal + 1) / 2
    # Each document stands beside itself with sigmoid(0): one half that is no rank.
    soft = 0.5 + (torch.sigmoid(-differences(logits)) * both).sum(dim=2)
    return masked_mean((ranks - soft) ** 2 / torch.log2(ranks + 1).clamp(min=1), mask)


def kl(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """KL divergence of the softmax of the logits from the softmax of the targets.

    Source: S. Lin et al., "In-batch negatives for knowledge distillation with tightly-coupled teachers", 2021.
    """
    wanted = log_softmax(targets, mask)
    return (wanted.exp() * (wanted - log_softmax(logits, mask))).sum(dim=1).mean()


def _plackett_luce(logits: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """For each rank the log of the chance that its document comes next, and whether there is one; in target order."""
    order = targets.masked_fill(mask == 0, LOWEST).argsort(dim=1, descending=True, stable=True)
    scores, present = logits.gather(1, order), mask.gather(1, order)
    rest = scores.masked_fill(present == 0, LOWEST).flip(1).logcumsumexp(dim=1).flip(1)
    return torch.where(present > 0, scores - rest, torch.zeros_like(scores)), present

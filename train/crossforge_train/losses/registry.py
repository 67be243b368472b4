"""The losses by the names that a config gives them; docs/losses.md says when to use which."""

from __future__ import annotations

from crossforge_train.losses.listwise import (
    adr_mse,
    cross_entropy,
    group_softmax,
    kl,
    list_mle,
    list_net,
    multiple_negatives,
    p_list_mle,
)
from crossforge_train.losses.matrix import Objective
from crossforge_train.losses.pairwise import LAMBDA_LOSSES, margin_mse, ranknet
from crossforge_train.losses.pointwise import binary_cross_entropy, mse

# On labels.
LOSSES: dict[str, Objective] = {
    "group_softmax": group_softmax,
    "cross_entropy": cross_entropy,
    "multiple_negatives": multiple_negatives,
    "binary_cross_entropy": binary_cross_entropy,
    "mse": mse,
    "margin_mse": margin_mse,
    "ranknet": ranknet,
    **LAMBDA_LOSSES,
    "list_net": list_net,
    "list_mle": list_mle,
    "p_list_mle": p_list_mle,
    "adr_mse": adr_mse,
}

# On a teacher's scores.
DISTILLATIONS: dict[str, Objective] = {"kl": kl, "margin_mse": margin_mse, "mse": mse, "ranknet": ranknet}

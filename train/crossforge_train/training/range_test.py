"""A short learning-rate range test: is a rate stable on these rows, or so high that training diverges?

Source: L. Smith, "Cyclical learning rates for training neural networks", WACV 2017. Here, the rate doubles with every
pass over the same few batches, so that losses are comparable between passes without the noise of different rows.
"""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from datasets import Dataset
from torch import nn

from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.precision import autocast
from crossforge_train.training.model import HEAD

BATCHES = 4
MULTIPLES = (1 / 4, 1 / 2, 1, 2)  # one pass each over the batches: 16 steps
FORWARD = 1 / 3  # of a step; the backward pass takes twice as long as the forward pass
PASSES = len(MULTIPLES) + FORWARD  # before them, a forward pass takes the loss
_MARGIN = 4  # a rate is lowered to a quarter of the one that diverged
# The least rise of the loss that is no fluctuation: shares of the starting loss, and of that of equal scores. A start
# that ranks well has next to no loss, and its fluctuations are many times as large.
_RISE, _RISE_OF_EQUAL = 0.1, 0.05


def drawn_batches(dataset: Dataset, groups_per_batch: int, seed: int) -> list[list[dict[str, Any]]]:
    """Draw four batches of rows with a seed; fewer or smaller ones if there are not enough rows."""
    wanted = min(len(dataset), BATCHES * groups_per_batch)
    rows = [dataset[number] for number in random.Random(seed).sample(range(len(dataset)), wanted)]  # noqa: S311
    return [rows[start : start + groups_per_batch] for start in range(0, wanted, groups_per_batch)]


def losses_by_rate(
    loss: nn.Module, batches: Sequence[dict[str, Any]], rate: float, head_rate: float, *, bf16: bool
) -> list[float]:
    """Mean loss before training, then of one pass per multiple in `MULTIPLES`; model and random states are restored.

    Args:
        loss: loss module that holds the model and takes (features, labels).
        batches: batches from the collator.
        rate: learning rate of the body.
        head_rate: learning rate of the head.
        bf16: whether to compute in bf16.

    Returns:
        1 + 4 losses, fewer if one is not finite: that one is the last.
    """
    device = next(loss.parameters()).device
    batches = [send_to_device(batch, device) for batch in batches]
    with left_as_it_was(loss):
        loss.train()
        optimizer = torch.optim.AdamW(_parameters(loss, rate, head_rate), weight_decay=0.0)
        rates = [group["lr"] for group in optimizer.param_groups]
        with torch.no_grad():
            found = [_mean([loss_of(loss, batch, device, bf16) for batch in batches])]
        for multiple in MULTIPLES:
            for group, base in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = base * multiple
            found.append(_mean([_step(loss, batch, optimizer, device, bf16) for batch in batches]))
            if not math.isfinite(found[-1]):
                break
    return found


def loss_of_equal_scores(loss: GroupLoss, batches: Sequence[dict[str, Any]]) -> float:
    """Mean loss of a model that gives all documents the same score."""
    return _mean([loss.of_equal_scores(_features(batch), batch["label"]) for batch in batches])


def safe_multiple(losses: Sequence[float], of_equal_scores: float) -> float:
    """The factor by which to multiply the rates tested by `losses_by_rate`: 1 if they are stable, less if not.

    A pass has diverged if it gave back half of the gain so far, and at least a tenth of the starting loss and a
    twentieth of that of a model that knows nothing. Anything smaller could be the fluctuation of a healthy run.
    """
    start = best = losses[0]
    fluctuation = max(_RISE * abs(start), _RISE_OF_EQUAL * abs(of_equal_scores))
    for multiple, value in zip(MULTIPLES, losses[1:], strict=False):
        if not value <= best + max((start - best) / 2, fluctuation):  # "not <=" also catches NaN
            return min(1.0, multiple / _MARGIN)
        best = min(best, value)
    return 1.0


def _step(
    loss: nn.Module, batch: dict[str, Any], optimizer: torch.optim.Optimizer, device: torch.device, bf16: bool
) -> torch.Tensor:
    optimizer.zero_grad()
    value = loss_of(loss, batch, device, bf16)
    torch.autograd.backward(value)
    torch.nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
    optimizer.step()
    return value.detach()


def loss_of(loss: nn.Module, batch: dict[str, Any], device: torch.device, bf16: bool) -> torch.Tensor:
    """The loss of one batch of the collator's."""
    with autocast(device.type, bf16):
        value: torch.Tensor = loss(_features(batch), batch["label"])
    return value


def _features(batch: dict[str, Any]) -> list[Any]:
    return [value for name, value in batch.items() if name != "label"]


def _mean(values: Sequence[torch.Tensor]) -> float:
    return float(torch.stack(list(values)).mean())


def _parameters(loss: nn.Module, rate: float, head_rate: float) -> list[dict[str, Any]]:
    trained = [(name, value) for name, value in loss.named_parameters() if value.requires_grad]
    head = [value for name, value in trained if re.search(HEAD, name)]
    body = [value for name, value in trained if not re.search(HEAD, name)]
    return [{"params": body, "lr": rate}, {"params": head, "lr": head_rate}]


@contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Restore the weights, the mode and the state of every random number generator on exit."""
    weights = copy.deepcopy(module.state_dict())
    training, numbers, arrays = module.training, random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        module.load_state_dict(weights)
        module.train(training)
        module.zero_grad(set_to_none=True)
        random.setstate(numbers)
        np.random.set_state(arrays)

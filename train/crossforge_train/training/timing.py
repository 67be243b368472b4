"""Times training on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import nn

from crossforge_train import processes
from crossforge_train.training.range_test import FORWARD, left_as_it_was, loss_of


@dataclass(frozen=True)
class Pace:
    """How much is done in a minute.

    Attributes:
        groups: groups that all processes together train on.
        dev_queries: dev queries whose candidates the main process reranks.
    """

    groups: float
    dev_queries: float


def measure_pace(loss: nn.Module, batches: Sequence[dict[str, Any]], pairs_per_query: float, *, bf16: bool) -> Pace:
    """Time the forward and backward pass of a few batches; the model is left as it was.

    Args:
        loss: loss module that holds the model and takes (features, labels).
        batches: batches from the collator; the first one also runs beforehand, to warm up.
        pairs_per_query: pairs of a dev query, taken to be as long as those of the batches.
        bf16: whether to compute in bf16.
    """
    device = next(loss.parameters()).device
    batches = [send_to_device(batch, device) for batch in batches]
    with left_as_it_was(loss):
        loss.train()
        _seconds(loss, batches[0], device, bf16)
        minutes = sum(_seconds(loss, batch, device, bf16) for batch in batches) / 60
    groups, pairs = (sum(count(batch) for batch in batches) for count in (_groups, _pairs))
    return pace_of(groups, pairs, minutes, pairs_per_query)


def pace_of(groups: float, pairs: int, minutes: float, pairs_per_query: float) -> Pace:
    """The pace of all processes, where one of them trained on so many groups and pairs in so many minutes.

    Args:
        groups: groups of one process.
        pairs: their pairs.
        minutes: what they took, forward and backward.
        pairs_per_query: pairs of a dev query, taken to be as long as these.
    """
    return Pace(processes.count() * groups / minutes, pairs / (minutes * FORWARD * pairs_per_query))


def pairs_per_query(depth: int, passages: int, cut: float) -> float:
    """The pairs of a dev query: its candidates, and further passages of those that are too long to be read in full.

    Args:
        depth: number of candidates.
        passages: passages that are read of a long one, at most.
        cut: share of the documents that are too long.
    """
    return depth * (1 + (passages - 1) * cut)


def _groups(batch: dict[str, Any]) -> int:
    return len(batch["label"])


def _pairs(batch: dict[str, Any]) -> int:
    return int(batch["mask"].sum())


def _seconds(loss: nn.Module, batch: dict[str, Any], device: torch.device, bf16: bool) -> float:
    loss.zero_grad(set_to_none=True)
    started = time.perf_counter()
    torch.autograd.backward(loss_of(loss, batch, device, bf16))
    last = next(value.grad for value in loss.parameters() if value.grad is not None)
    last.flatten()[0].item()  # waits for the device: the first layer's gradient is computed last
    return time.perf_counter() - started

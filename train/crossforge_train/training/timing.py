"""Times a training step, so that `epochs: auto` fits into the time that there is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import nn

from crossforge_train.training.range_test import left_as_it_was, loss_of


def seconds_a_step(loss: nn.Module, batches: Sequence[dict[str, Any]], *, bf16: bool) -> float:
    """Mean seconds of a forward and backward pass; the model is left as it was.

    Args:
        loss: loss module that holds the model and takes (features, labels).
        batches: batches from the collator; the first one also runs beforehand, to warm up.
        bf16: whether to compute in bf16.
    """
    device = next(loss.parameters()).device
    batches = [send_to_device(batch, device) for batch in batches]
    with left_as_it_was(loss):
        loss.train()
        return float(np.mean([_seconds(loss, batch, device, bf16) for batch in [batches[0], *batches]][1:]))


def _seconds(loss: nn.Module, batch: dict[str, Any], device: torch.device, bf16: bool) -> float:
    loss.zero_grad(set_to_none=True)
    started = time.perf_counter()
    torch.autograd.backward(loss_of(loss, batch, device, bf16))
    last = next(value.grad for value in loss.parameters() if value.grad is not None)
    last.flatten()[0].item()  # waits for the device: the first layer's gradient is computed last
    return time.perf_counter() - started

"""fp32 or bf16: half precision is twice as fast on hardware that has it and several times slower on the rest."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any, Literal

Precision = Literal["auto", "fp32", "bf16"]

_TIMED_PAIRS, _ROUNDS = 8, 3


def autocast(device_type: str, bf16: bool) -> AbstractContextManager[Any]:
    """bf16 autocast if asked for, nothing otherwise."""
    import torch

    return torch.autocast(device_type, torch.bfloat16, enabled=bf16)


def use_bf16(precision: Precision) -> bool:
    """Whether to embed in bf16: as told, or for "auto" where the hardware multiplies bf16 natively."""
    return precision == "bf16" or (precision == "auto" and _has_native_bf16())


def faster_in_bf16(model: Any, length: int) -> float:
    """How many times as fast a training step of a `transformers` classifier is in bf16 as in fp32.

    Both are timed in turn, round after round, and the fastest round of each counts, so that other work on the machine
    hits both alike. The random state is the caller's to put back.

    Args:
        model: on a CPU, where the work is done when a call returns.
        length: tokens of a pair.
    """
    best = {False: float("inf"), True: float("inf")}
    for _ in range(_ROUNDS):
        for bf16 in best:
            best[bf16] = min(best[bf16], step_seconds(model, _TIMED_PAIRS, length, bf16=bf16))
    return best[False] / best[True]


def step_seconds(model: Any, pairs: int, length: int, *, bf16: bool) -> float:
    """Seconds of one forward and backward pass over random token ids."""
    import torch

    device = next(model.parameters()).device
    ids = torch.randint(5, model.config.vocab_size, (pairs, length), device=device)
    mask = torch.ones_like(ids)
    mask[0, length // 2 :] = 0  # without padding some kinds of attention take another path
    start = time.perf_counter()
    with autocast(device.type, bf16):
        loss = model(input_ids=ids, attention_mask=mask).logits.float().pow(2).mean()
    loss.backward()
    seconds = time.perf_counter() - start
    model.zero_grad(set_to_none=True)
    return seconds


def _has_native_bf16() -> bool:
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # Private names, so a missing one means "no"; there is no public way to ask a CPU for this.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)

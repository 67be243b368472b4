"""fp32 or bf16: bf16 is twice as fast on hardware that supports it, and several times slower on the rest."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any, Literal

Precision = Literal["auto", "fp32", "bf16"]

_TIMED_PAIRS, _ROUNDS = 8, 3


def autocast(device_type: str, bf16: bool) -> AbstractContextManager[Any]:
    """A context manager: bf16 autocast if `bf16`, else no effect."""
    import torch

    return torch.autocast(device_type, torch.bfloat16, enabled=bf16)


def use_bf16(precision: Precision) -> bool:
    """Whether to use bf16: as set, or with "auto" if the hardware supports bf16 natively."""
    return precision == "bf16" or (precision == "auto" and _has_native_bf16())


def faster_in_bf16(model: Any, length: int) -> float:
    """Speed-up of a `transformers` classifier's training step in bf16 over fp32.

    The two alternate for several rounds, and the fastest round of each counts, so that other work on the machine
    affects both alike. The caller restores the random state.

    Args:
        model: a model on the CPU, where a call returns only after the work is done.
        length: tokens per pair.
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
    mask[0, length // 2 :] = 0  # without padding, some attention implementations take another path
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
    # These names are private, so a missing one means "no"; there is no public API for asking a CPU.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)

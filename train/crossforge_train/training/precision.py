"""fp32 or bf16: half precision is twice as fast on hardware that has it and several times slower on the rest."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

Precision = Literal["auto", "fp32", "bf16"]


def autocast(device_type: str, bf16: bool) -> AbstractContextManager[Any]:
    """bf16 autocast if asked for, nothing otherwise."""
    import torch

    return torch.autocast(device_type, torch.bfloat16, enabled=bf16)


def use_bf16(precision: Precision) -> bool:
    """Whether to compute in bf16: as told, or for "auto" where the hardware multiplies bf16 natively.

    Asked of the hardware and not timed: a timing on a busy machine may come out differently the next time, and the
    same config and seed have to give the same result.
    """
    return precision == "bf16" or (precision == "auto" and _has_native_bf16())


def _has_native_bf16() -> bool:
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # Private names, so a missing one means "no"; there is no public way to ask a CPU for this.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)

"""Where a backend computes: the CPU, a GPU, and in which number format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from crossforge.errors import InputError, PackageError
from crossforge.onnx_sessions import CPU, CUDA

AUTO_DEVICE = "auto"
_KNOWN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def require_device(device: str) -> str:
    """The device, if it is one.

    Raises:
        InputError: it is none.
    """
    if not isinstance(device, str) or not _KNOWN.fullmatch(device):
        raise InputError(f"device={device!r}; expected auto, cpu, cuda, cuda:NUMBER or mps")
    return device


def torch_device(device: str) -> str:
    """The device for torch: what is asked for, or for "auto" a CUDA GPU where there is one.

    Raises:
        InputError: this machine, or this build of torch, has no such device.
    """
    import torch

    if require_device(device) == AUTO_DEVICE:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        count, number = torch.cuda.device_count(), int(device.partition(":")[2] or 0)
        if number >= count:
            raise InputError(f'device={device!r}: torch finds {count} CUDA GPUs here; use device="auto"')
    if device == "mps" and not torch.backends.mps.is_available():
        raise InputError('device="mps": torch finds none here; use device="auto"')
    return device


def onnx_providers(device: str, available: Sequence[str]) -> list[Any]:
    """ONNX Runtime's execution providers for a device: its CUDA provider alone computes on a GPU.

    Args:
        device: see `require_device`; "auto" takes the GPU where the provider is installed.
        available: what ONNX Runtime says it has.

    Raises:
        PackageError: the provider that the device needs is not installed.
    """
    device = require_device(device)
    if device == "cpu" or (device == AUTO_DEVICE and CUDA not in available):
        return [CPU]
    if device == "mps":
        raise PackageError('ONNX Runtime does not compute on mps here: use backend="torch"')
    if CUDA not in available:
        raise PackageError(
            f"device={device!r}: ONNX Runtime has no CUDA provider: pip uninstall onnxruntime onnxruntime-gpu, then "
            'pip install onnxruntime-gpu (both fill the same folder); or use backend="torch"'
        )
    # Without TF32 its matrix products are those of fp32, as the backend promises.
    return [(CUDA, {"device_id": int(device.partition(":")[2] or 0), "use_tf32": 0}), CPU]


def require_in_use(device: str, used: Sequence[str]) -> None:
    """Raise unless ONNX Runtime computes where it was told to; it goes on without a provider that it cannot load.

    Args:
        device: what was asked for.
        used: the execution providers of the session.

    Raises:
        PackageError: a GPU was asked for by name, and is not used.
    """
    if device.startswith("cuda") and CUDA not in used:
        raise PackageError(
            f"device={device!r}: ONNX Runtime finds no GPU, or not the libraries of CUDA and cuDNN that its CUDA "
            'provider was built with: install these, or use backend="torch"'
        )

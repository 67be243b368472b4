"""Opens a folder's backend: the one that is asked for, or the fastest that scores nearly as fp32 torch does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path

from crossforge.backends.base import Backend
from crossforge.backends.devices import AUTO_DEVICE, require_device
from crossforge.backends.model_files import MODEL_FILE
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError, PackageError

AUTO = "auto"

# Two exact fp32 backends differ by rounding only.
EXACT = 1e-4

# Fastest first. OpenVINO in fp32 is for those who ask for it: it starts slower and is not faster everywhere.
_FASTER = ("openvino-bf16", "onnx-int8")


def open_backend(
    folder: Path,
    name: str,
    agreement: Mapping[str, float],
    tolerance: float,
    proven: str | None = None,
    device: str = AUTO_DEVICE,
) -> Backend:
    """The backend of a model folder.

    Args:
        folder: holds the model.
        name: which one, or "auto".
        agreement: per backend, the largest difference of its logits from fp32 torch that was found when the package
            was made; empty for a plain folder.
        tolerance: the largest such difference that "auto" takes.
        proven: what the package was proven with, if that was picked; "auto" takes it wherever it can.
        device: "cpu", "cuda", "cuda:1" or "mps"; "auto" leaves it to the backend. On a GPU "auto" takes fp32 torch.

    Raises:
        PackageError: the backend cannot be had for this folder, on this machine.
        InputError: there is no backend of that name.
    """
    on_gpu = require_device(device) not in (AUTO_DEVICE, "cpu")
    if BACKENDS.require(name, AUTO) != AUTO or on_gpu:
        return _opened(folder, "torch" if name == AUTO else name, device)
    near = [faster for faster in _FASTER if agreement.get(faster, float("inf")) <= tolerance]
    for found in ([proven] if proven else []) + near:
        try:
            return _opened(folder, found, device)
        except (PackageError, InputError):  # not installed here, or not for this CPU
            continue
    return _opened(folder, "onnx" if (folder / MODEL_FILE).is_file() else "torch", device)


def _opened(folder: Path, name: str, device: str) -> Backend:
    """Open a backend; those that do not take a device compute on the CPU."""
    opening: Callable[..., Backend] = BACKENDS.load(name)
    if "device" in signature(opening).parameters:
        return opening(folder, device=device)
    if device not in (AUTO_DEVICE, "cpu"):
        raise InputError(f"backend {name} computes on the CPU, not on {device}; torch and onnx take a device")
    return opening(folder)

"""Opens a folder's backend: the one that is asked for, or the fastest that scores nearly as fp32 torch does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from crossforge.backends.base import Backend
from crossforge.backends.onnx import INT8_FILE, MODEL_FILE, OnnxBackend
from crossforge.backends.openvino import OpenVinoBackend
from crossforge.backends.torch import TorchBackend
from crossforge.errors import InputError, PackageError

BackendName = Literal["auto", "onnx", "onnx-int8", "openvino", "openvino-bf16", "torch"]

# Two exact fp32 backends differ by rounding only.
EXACT = 1e-4

# Fastest first. OpenVINO in fp32 is for those who ask for it: it starts slower and is not faster everywhere.
_FASTER = ("openvino-bf16", "onnx-int8")
_MAKERS: Mapping[str, Callable[[Path], Backend]] = {
    "onnx": lambda folder: OnnxBackend(_existing(folder / MODEL_FILE)),
    "onnx-int8": lambda folder: OnnxBackend(_existing(folder / INT8_FILE)),
    "openvino": lambda folder: OpenVinoBackend(_existing(folder / MODEL_FILE)),
    "openvino-bf16": lambda folder: OpenVinoBackend(_existing(folder / MODEL_FILE), bf16=True),
    "torch": TorchBackend.load,
}


def open_backend(folder: Path, name: BackendName, agreement: Mapping[str, float], tolerance: float) -> Backend:
    """The backend of a model folder.

    Args:
        folder: holds the model.
        name: which one, or "auto".
        agreement: per backend, the largest difference of its logits from fp32 torch that was found when the package
            was made; empty for a plain folder.
        tolerance: the largest such difference that "auto" takes.

    Raises:
        PackageError: the backend cannot be had for this folder, on this machine.
        InputError: there is no backend of that name.
    """
    if name != "auto":
        if name not in _MAKERS:
            raise InputError(f"no backend {name!r}; have auto, {', '.join(_MAKERS)}")
        return _MAKERS[name](folder)
    for faster in _FASTER:
        if agreement.get(faster, float("inf")) <= tolerance:
            try:
                return _MAKERS[faster](folder)
            except PackageError:  # not installed here, or not for this CPU
                continue
    return _MAKERS["onnx" if (folder / MODEL_FILE).is_file() else "torch"](folder)


def _existing(path: Path) -> Path:
    if not path.is_file():
        way_out = (
            'this folder runs with backend="torch" only' if path.name == Path(MODEL_FILE).name else "see package.int8"
        )
        raise PackageError(f"{path}: missing; {way_out}")
    return path

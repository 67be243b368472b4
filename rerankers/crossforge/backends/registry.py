"""The backends by name. To add one: a file, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crossforge.plugins import Plugin, Registry

if TYPE_CHECKING:
    from crossforge.backends.base import Backend

_ROOM = "crossforge.backends"

# Each opens a model folder; it raises `PackageError` if the folder or the machine lacks what it needs. One that can
# compute elsewhere than on the CPU has a second parameter `device`.
BACKENDS: Registry[Callable[..., Backend]] = Registry(
    "backends",
    "backend",
    {
        "onnx": Plugin(f"{_ROOM}.onnx:open_fp32", "ONNX Runtime, exact fp32, on a GPU if its CUDA provider is there"),
        "onnx-int8": Plugin(f"{_ROOM}.onnx:open_int8", "ONNX Runtime on the CPU, for packages with an int8 model"),
        "openvino": Plugin(f"{_ROOM}.openvino:open_fp32", "OpenVINO on the CPU, exact fp32"),
        "openvino-bf16": Plugin(f"{_ROOM}.openvino:open_bf16", "OpenVINO on CPUs with native bf16"),
        "torch": Plugin(f"{_ROOM}.torch:open_fp32", "PyTorch, exact fp32, on a GPU if there is one"),
        "torch-bf16": Plugin(f"{_ROOM}.torch:open_bf16", "PyTorch in bf16, on a GPU if there is one"),
        "torch-fp16": Plugin(f"{_ROOM}.torch:open_fp16", "PyTorch in fp16, on a GPU if there is one"),
    },
)

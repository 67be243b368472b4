"""ONNX Runtime: the default backend, exact fp32 (or int8, where the package has it), no torch needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.devices import AUTO_DEVICE, onnx_providers, require_in_use
from crossforge.backends.model_files import INT8_FILE, int8_file, model_file
from crossforge.onnx_sessions import CUDA, open_session


class OnnxBackend:
    """Runs `onnx/model.onnx` or `onnx/model_int8.onnx` of a package on the CPU, or with CUDA.

    Args:
        path: the ONNX model.
        device: see `onnx_providers`.

    Raises:
        PackageError: the model cannot be loaded, or not where `device` says.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import onnxruntime

        providers = onnx_providers(device, onnxruntime.get_available_providers())

        self.name = "onnx-int8" if path.name == Path(INT8_FILE).name else "onnx"
        self._session = open_session(path, providers)
        used = self._session.get_providers()
        require_in_use(device, used)
        self.device = "cuda" if CUDA in used else "cpu"
        self._inputs = [node.name for node in self._session.get_inputs()]

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `Backend.logits`."""
        (output,) = self._session.run(["logits"], {name: batch[name] for name in self._inputs})
        return np.asarray(output, dtype=np.float32)[:, 0]


def open_fp32(folder: Path, device: str = AUTO_DEVICE) -> OnnxBackend:
    """The backend `onnx` of a package."""
    return OnnxBackend(model_file(folder), device)


def open_int8(folder: Path) -> OnnxBackend:
    """The backend `onnx-int8` of a package."""
    return OnnxBackend(int8_file(folder))

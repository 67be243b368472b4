"""OpenVINO: the package's ONNX model on other kernels, exact fp32 or, on CPUs made for it, twice as fast in bf16."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.model_files import model_file
from crossforge.errors import PackageError
from crossforge.threads import thread_count

_DEVICE = "CPU"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OpenVinoBackend:
    """Runs `onnx/model.onnx` of a package on the CPU.

    Args:
        path: the ONNX model.
        bf16: compute in half precision; logits then differ from fp32 by some hundredths, by tenths in a model that
            training started from a bi-encoder.

    Raises:
        PackageError: OpenVINO is not installed, cannot load the model, or bf16 is asked of a CPU that has none.
    """

    def __init__(self, path: Path, *, bf16: bool = False) -> None:
        try:
            import openvino
        except ImportError:
            raise PackageError(
                f'{path}: the openvino backend is not installed: pip install "crossforge[openvino]"'
            ) from None
        self.name = "openvino-bf16" if bf16 else "openvino"
        core = openvino.Core()
        if bf16 and "BF16" not in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"):
            raise PackageError('this CPU has no native bf16: use backend="openvino" or "onnx"')
        # "f32" has to be said: OpenVINO takes bf16 by itself where the CPU has it.
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32"}
        if (threads := thread_count()) is not None:
            hints["INFERENCE_NUM_THREADS"] = str(threads)
        try:
            self._model = core.compile_model(str(path), _DEVICE, hints)
        except RuntimeError as error:
            raise PackageError(f"{path}: OpenVINO cannot load it ({error})") from None
        self._inputs = [_input_name(port) for port in self._model.inputs]
        self._requests = threading.local()

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `Backend.logits`."""
        output = self._request().infer({name: batch[name] for name in self._inputs})
        return np.array(output[0], dtype=np.float32)[:, 0]

    def _request(self) -> Any:
        """An inference request holds the buffers of one call, so each thread has its own."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._model.create_infer_request()
        return self._requests.own


def _input_name(port: Any) -> str:
    """An input's name in a batch; where OpenVINO takes out a cast behind it, the input has the cast's name as well."""
    names = sorted(port.get_names())
    return str(next((name for name in names if name in _INPUTS), names[0]))


def open_fp32(folder: Path) -> OpenVinoBackend:
    """The backend `openvino` of a package."""
    return OpenVinoBackend(model_file(folder))


def open_bf16(folder: Path) -> OpenVinoBackend:
    """The backend `openvino-bf16` of a package."""
    return OpenVinoBackend(model_file(folder), bf16=True)

"""Opens ONNX models with OpenVINO: in fp32 or, on CPUs made for it, twice as fast in bf16."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.errors import PackageError
from crossforge.threads import thread_count

_DEVICE = "CPU"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OpenVinoSession:
    """Computes an ONNX model on the CPU; safe to call from several threads.

    Args:
        path: the model.
        bf16: compute in half precision.

    Raises:
        PackageError: OpenVINO is not installed, cannot load the model, or bf16 is asked of a CPU that has none.
    """

    def __init__(self, path: Path, *, bf16: bool = False) -> None:
        try:
            import openvino
        except ImportError:
            raise PackageError(f'{path}: OpenVINO is not installed: pip install "crossforge[openvino]"') from None
        if bf16 and not has_native_bf16():
            raise PackageError("this CPU has no native bf16")
        # "f32" has to be said: OpenVINO takes bf16 by itself where the CPU has it.
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32"}
        if (threads := thread_count()) is not None:
            hints["INFERENCE_NUM_THREADS"] = str(threads)
        try:
            self.model = openvino.Core().compile_model(str(path), _DEVICE, hints)
        except RuntimeError as error:
            raise PackageError(f"{path}: OpenVINO cannot load it ({error})") from None
        self._inputs = [_input_name(port) for port in self.model.inputs]
        self._requests = threading.local()

    def output(self, batch: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """The model's first output for a padded batch, of which it takes the inputs that it has."""
        found = self._request().infer({name: batch[name] for name in self._inputs})
        return np.array(found[0], dtype=np.float32)

    def _request(self) -> Any:
        """An inference request holds the buffers of one call, so each thread has its own."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self.model.create_infer_request()
        return self._requests.own


def has_native_bf16() -> bool:
    """Whether OpenVINO is installed, and this CPU computes in bf16."""
    try:
        import openvino

        return "BF16" in openvino.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    except (ImportError, RuntimeError):  # the second of a plugin that cannot be loaded
        return False


def _input_name(port: Any) -> str:
    """An input's name in a batch; where OpenVINO takes out a cast behind it, the input has the cast's name as well."""
    names = sorted(port.get_names())
    return str(next((name for name in names if name in _INPUTS), names[0]))

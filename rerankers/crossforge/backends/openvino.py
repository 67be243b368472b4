"""OpenVINO: the package's ONNX model on other kernels, exact fp32 or, on CPUs made for it, twice as fast in bf16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.model_files import model_file
from crossforge.errors import PackageError
from crossforge.openvino_sessions import OpenVinoSession
from crossforge.package_files import weights_beside


class OpenVinoBackend:
    """Runs `onnx/model.onnx` of a package on the CPU.

    Args:
        path: the ONNX model.
        bf16: compute in half precision; logits then differ from fp32 by some hundredths, by tenths in a model that
            training started from a bi-encoder.

    Raises:
        PackageError: OpenVINO is not installed, cannot load the model, or bf16 is asked of a CPU that has none; or a
            large model's weights are a link.
    """

    def __init__(self, path: Path, *, bf16: bool = False) -> None:
        self.name = "openvino-bf16" if bf16 else "openvino"
        if weights_beside(path).is_symlink():  # as in the hub's cache
            raise PackageError(f'{path}: OpenVINO cannot read weights through a link; copy the folder, or use "onnx"')
        self._session = OpenVinoSession(path, bf16=bf16)

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `Backend.logits`."""
        return self._session.output(batch)[:, 0]


def open_fp32(folder: Path) -> OpenVinoBackend:
    """The backend `openvino` of a package."""
    return OpenVinoBackend(model_file(folder))


def open_bf16(folder: Path) -> OpenVinoBackend:
    """The backend `openvino-bf16` of a package."""
    return OpenVinoBackend(model_file(folder), bf16=True)

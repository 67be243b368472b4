"""The model files of a package that backends open."""

from __future__ import annotations

from pathlib import Path

from crossforge.errors import PackageError

MODEL_FILE = "onnx/model.onnx"
INT8_FILE = "onnx/model_int8.onnx"


def model_file(folder: Path) -> Path:
    """The fp32 ONNX model of a folder.

    Raises:
        PackageError: there is none.
    """
    return _existing(folder / MODEL_FILE, 'this folder runs with backend="torch" only')


def int8_file(folder: Path) -> Path:
    """The int8 ONNX model of a folder.

    Raises:
        PackageError: there is none.
    """
    return _existing(folder / INT8_FILE, "see package.int8")


def _existing(path: Path, way_out: str) -> Path:
    if not path.is_file():
        raise PackageError(f"{path}: missing; {way_out}")
    return path

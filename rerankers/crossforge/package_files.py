"""Reads the files of a model folder; what is missing or malformed is a `PackageError`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossforge.errors import InputError, PackageError
from crossforge.files import read_json

# What sentence-transformers says of a whole model (prompts, activation), and of its transformer (length, messages).
SENTENCE_TRANSFORMERS_FILE = "config_sentence_transformers.json"
SENTENCE_BERT_FILE = "sentence_bert_config.json"


def weights_beside(model: Path) -> Path:
    """Where the weights of an ONNX model lie that is too large to hold them: where other clients look, too."""
    return model.with_name(f"{model.name}_data")


def read_package_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file in a model folder.

    Raises:
        PackageError: the file is missing, or is not a JSON object.
    """
    require_package_file(path)
    try:
        value = read_json(path)
    except InputError as error:
        raise PackageError(str(error)) from None
    if not isinstance(value, dict):
        raise PackageError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def read_optional_json(path: Path) -> dict[str, Any]:
    """The same; an empty object if the file is missing.

    Raises:
        PackageError: the file is not a JSON object.
    """
    return read_package_json(path) if path.is_file() else {}


def require_package_file(path: Path) -> None:
    """Raise `PackageError` if a file of a model folder is missing."""
    if not path.is_file():
        raise PackageError(f"{path.parent}: no {path.name} in it, so this is not a cross-encoder folder")

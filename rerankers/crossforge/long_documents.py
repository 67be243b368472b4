"""Which part of a document is scored if it is longer than the model reads: a setting kept in the model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from crossforge.errors import PackageError
from crossforge.files import read_json, write_json
from crossforge.package_files import read_package_json

LongDocuments = Literal["best_window", "first_window"]
LONG_DOCUMENTS: tuple[LongDocuments, ...] = get_args(LongDocuments)
# What models were trained on before they could say.
BEST_WINDOW: LongDocuments = "best_window"
FIRST_WINDOW: LongDocuments = "first_window"

# transformers and its readers keep keys of `config.json` that they do not know.
_CONFIG, _SECTION, _KEY = "config.json", "crossforge", "long_documents"


def read_long_documents(folder: Path) -> LongDocuments:
    """What a model's folder says; `best_window` if it says nothing.

    Raises:
        PackageError: it says something that this version does not know.
    """
    section = read_package_json(folder / _CONFIG).get(_SECTION)
    found = section.get(_KEY, BEST_WINDOW) if isinstance(section, dict) else BEST_WINDOW
    if found not in LONG_DOCUMENTS:
        raise PackageError(f"{folder / _CONFIG}: {_SECTION}.{_KEY} is none of: {', '.join(LONG_DOCUMENTS)}")
    known: LongDocuments = found
    return known


def write_long_documents(folder: Path, long_documents: LongDocuments) -> None:
    """Add the setting to the `config.json` of a model's folder, or replace what its base model said."""
    path = folder / _CONFIG
    write_json(path, {**read_json(path), _SECTION: {_KEY: long_documents}})

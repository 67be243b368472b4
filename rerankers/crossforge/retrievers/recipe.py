"""Repeats a first stage over other documents: a package without a corpus says how its first stage was made.

A package may come from anyone, so its recipe names no function, no server and no file outside of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from crossforge.documents import Document
from crossforge.errors import PackageError
from crossforge.files import stays_within, write_json
from crossforge.package_files import read_package_json
from crossforge.retrievers.base import OutsideKind, RepeatableRetriever, StoredRetriever
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.registry import RETRIEVERS

_FILE = "recipe.json"
_ENCODER = "encoder"
# A folder in the settings becomes a mapping with this key: its place beside the recipe.
_FOLDER = "folder"

# Settings of the kind `dense` to add for an encoder, by its folder.
EmbeddingSettings = Callable[[Path], Mapping[str, Any]]


def can_repeat(retriever: StoredRetriever) -> TypeGuard[RepeatableRetriever]:
    """Whether `fit_by_recipe` makes such a retriever: it has settings, and does not search elsewhere."""
    return isinstance(retriever, RepeatableRetriever) and not _is_outside(retriever.kind)


def save_recipe(folder: Path, retriever: RepeatableRetriever) -> None:
    """Write how a retriever was made, and the folders that it was made with, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _FILE, {"kind": retriever.kind, "settings": _packed(retriever.settings, folder)})


def has_recipe(folder: Path) -> bool:
    """Whether `save_recipe` wrote into a folder."""
    return (folder / _FILE).is_file()


def fit_by_recipe(
    folder: Path, documents: Collection[Document], embedding: EmbeddingSettings | None = None
) -> StoredRetriever:
    """Index documents as `save_recipe` says.

    Args:
        folder: where `save_recipe` wrote the recipe.
        documents: the corpus.
        embedding: what to add to an encoder's settings: where vectors are kept, and what shows progress.

    Raises:
        InputError: the kind is not known here, or there is nothing to index.
        PackageError: the recipe is damaged, or asks for something outside of the package.
    """
    recipe = read_package_json(folder / _FILE)
    try:
        kind, settings = str(recipe["kind"]), _unpacked(recipe["settings"], folder)
    except (KeyError, TypeError, AttributeError):
        raise PackageError(f"{folder / _FILE}: damaged; copy the package again") from None
    if _is_outside(kind):
        raise PackageError(
            f"{folder / _FILE}: {kind!r} searches elsewhere, which a package alone cannot ask for; make the first "
            "stage yourself (crossforge.retrievers.choice.fit_retriever) and pass it to RetrieveAndRerank"
        )
    return fit_retriever(documents, kind, _embedding(settings, embedding) if embedding else settings)


def _is_outside(kind: str) -> bool:
    return isinstance(RETRIEVERS.load(kind), OutsideKind)


def _packed(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Path):
            found[name] = {_FOLDER: _placed(value, folder, name)}
        else:
            found[name] = _packed(value, folder) if isinstance(value, Mapping) else value
    return found


def _placed(source: Path, folder: Path, name: str) -> str:
    """Where a folder is within the recipe's; it is copied unless it is there already."""
    if source.is_relative_to(folder):
        return source.relative_to(folder).as_posix()
    shutil.copytree(source, folder / name)
    return name


def _unpacked(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found[name] = _inside(folder, value[_FOLDER]) if _FOLDER in value else _unpacked(value, folder)
        elif name == _ENCODER:  # a bare path would be read from wherever it points
            raise PackageError(f"{folder / _FILE}: {value!r} is no part of the package")
        else:
            found[name] = value
    return found


def _embedding(settings: Mapping[str, Any], embedding: EmbeddingSettings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found[name] = _embedding(value, embedding) if isinstance(value, Mapping) else value
        if name == _ENCODER:
            found |= embedding(value)
    return found


def _inside(folder: Path, name: str) -> Path:
    if not stays_within(name):
        raise PackageError(f"{folder / _FILE}: {name!r} points outside the package")
    return folder / name

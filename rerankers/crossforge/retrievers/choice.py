"""Fits, stores and loads the first stage of a kind; only registered kinds are ever loaded, whatever a folder says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.errors import PackageError
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.registry import LEXICAL, RETRIEVERS

# The lexical index was there before there were kinds.
_FOLDERS = {LEXICAL: "tfidf"}


def fit_retriever(
    documents: Collection[Document], kind: str = LEXICAL, settings: Mapping[str, Any] | None = None
) -> StoredRetriever:
    """Index documents.

    Raises:
        InputError: there is no such kind, a setting is wrong, or there is nothing to index.
    """
    return RETRIEVERS.load(kind).fit(documents, settings or {})


def save_retriever(parent: Path, retriever: StoredRetriever) -> None:
    """Write a retriever to the folder of its kind in `parent`.

    Raises:
        InputError: its kind is not registered, so that nobody could load it.
    """
    retriever.save(_index(parent, RETRIEVERS.require(retriever.kind)))


def load_retriever(parent: Path) -> StoredRetriever:
    """Read the retriever that `save_retriever` wrote.

    Raises:
        PackageError: `parent` holds none, or one of a kind that is not registered here.
    """
    for kind in chain(RETRIEVERS.built_in, RETRIEVERS.third_party):
        if _index(parent, kind).is_dir():
            return RETRIEVERS.load(kind).load(_index(parent, kind))
    others = sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    found = f"; is {' or '.join(others)} an index of a plug-in that is not installed?" if others else ""
    raise PackageError(f"{parent}: no first-stage index of a known kind ({', '.join(RETRIEVERS.plugins())}){found}")


def _index(parent: Path, kind: str) -> Path:
    return parent / _FOLDERS.get(kind, kind)

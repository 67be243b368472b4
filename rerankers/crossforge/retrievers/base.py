"""The protocols of first stages: what searches, what can be stored besides, and what makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.runs import Candidate


class Retriever(Protocol):
    """Finds candidates for queries, cheaply."""

    @property
    def name(self) -> str:
        """What screens and model cards call it: "TF-IDF"."""
        ...

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """The `k` best documents of each query, best first; fewer where fewer match.

        Args:
            queries: query id -> text.
            k: how many documents.
            ties_by_id: put equal scores in the order of ids, as mining asks, so that the order in which documents were
                indexed decides nothing.
        """
        ...

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text matches the query by the same measure, shape (texts,); used to choose passages."""
        ...


@runtime_checkable
class StoredRetriever(Retriever, Protocol):
    """A retriever that a run or a package can hold."""

    @property
    def kind(self) -> str:
        """Its registered name, by which it is loaded again."""
        ...

    @property
    def description(self) -> str:
        """How it reads texts, in a few words for reports."""
        ...

    def save(self, folder: Path) -> None:
        """Write it to a folder that is not there yet."""
        ...


class RetrieverKind(Protocol):
    """What is registered: fits and loads one kind of retriever."""

    def fit(self, documents: Collection[Document], settings: Mapping[str, Any]) -> StoredRetriever:
        """Index documents.

        Args:
            documents: the corpus; one on disk is read anew with every pass and need not be held.
            settings: what the config says of this kind.

        Raises:
            InputError: a setting is wrong, or there is nothing to index.
        """
        ...

    def load(self, folder: Path) -> StoredRetriever:
        """Read what `StoredRetriever.save` wrote.

        Raises:
            PackageError: the folder holds no such index.
        """
        ...

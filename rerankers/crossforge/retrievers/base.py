"""The protocols of first stages: what searches, what can be stored besides, and what makes them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.retrievers.checks import require_between
from crossforge.runs import Candidate, Run


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


@runtime_checkable
class RepeatableRetriever(StoredRetriever, Protocol):
    """A retriever whose kind can be fitted in the same way to other documents."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What its kind was fitted with: values as JSON has them, mappings of such, and `Path`s of folders to copy."""
        ...


@runtime_checkable
class ScoringRetriever(StoredRetriever, Protocol):
    """A retriever that scores documents of its corpus which it did not find."""

    def scores(
        self, queries: Mapping[str, str], doc_ids: Mapping[str, Sequence[str]]
    ) -> dict[str, NDArray[np.float32]]:
        """The scores that `search` gives, for chosen documents.

        Args:
            queries: query id -> text.
            doc_ids: query id -> ids of documents; those of every query must be given.

        Returns:
            Query id -> scores of shape (documents,); 0 where a lexical retriever shares no term.
        """
        ...


@runtime_checkable
class VectorRetriever(ScoringRetriever, Protocol):
    """A retriever by vectors of unit length, whose queries' vectors a linear map may move."""

    @property
    def doc_ids(self) -> Sequence[str]:
        """The documents' ids, in the order of their vectors."""
        ...

    @property
    def vectors(self) -> NDArray[np.floating]:
        """The documents' vectors, shape (documents, dimension)."""
        ...

    def query_vectors(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of queries, shape (queries, dimension)."""
        ...

    def search_vectors(
        self, queries: Mapping[str, NDArray[np.float32]], k: int, *, ties_by_id: bool = False
    ) -> dict[str, list[Candidate]]:
        """What `search` finds for queries with these vectors, each of shape (dimension,)."""
        ...

    @property
    def query_map(self) -> NDArray[np.float32] | None:
        """The map that moves them, shape (dimension, dimension); None if they stay where they are."""
        ...

    def with_query_map(self, query_map: NDArray[np.float32] | None) -> VectorRetriever:
        """The same retriever, with or without a map of shape (dimension, dimension) that multiplies query vectors."""
        ...


@dataclass(frozen=True)
class Approximation:
    """How a search over vectors saves time.

    Attributes:
        lists: how many lists of vectors are read for a query.
        depth: how many documents of an exact search it was compared with.
        recall: share of these that it finds.
    """

    lists: int
    depth: int
    recall: float

    @property
    def description(self) -> str:
        """It in a few words."""
        return f"searched approximately where served (recall@{self.depth} {self.recall:.3f})"

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Approximation:
        """From JSON.

        Raises:
            KeyError, ValueError, TypeError: that is not what it holds.
        """
        lists, depth = (int(require_between(name, state[name], 1, sys.maxsize)) for name in ("lists", "depth"))
        return cls(lists, depth, require_between("recall", state["recall"], 0, 1))


@runtime_checkable
class ApproximableRetriever(VectorRetriever, Protocol):
    """A retriever by vectors that can do without looking at all of them."""

    @property
    def approximation(self) -> Approximation | None:
        """How it does so; None if it looks at all."""
        ...

    def approximated(self, approximation: Approximation | None) -> ApproximableRetriever:
        """The same retriever, approximate or, with None, exact; what it needs for it is built once.

        Searches with `ties_by_id` stay exact.

        Raises:
            InputError: the library for it is not installed.
        """
        ...


@runtime_checkable
class CombinedRetriever(StoredRetriever, Protocol):
    """A retriever that joins the lists of others, by a weight that a dev split may choose."""

    @property
    def parts(self) -> tuple[ScoringRetriever, ...]:
        """The retrievers whose lists are joined."""
        ...

    @property
    def weight(self) -> float | None:
        """Share of the first part in the joint score; None joins by rank."""
        ...

    def with_weight(self, weight: float | None) -> CombinedRetriever:
        """The same retriever with another weight."""
        ...

    def with_part(self, part: ScoringRetriever) -> CombinedRetriever:
        """The same retriever with another part in place of the one of that name."""
        ...

    def origins(self, query: str, k: int) -> dict[str, dict[str, int]]:
        """For each document of the parts' lists that a search for `k` fuses: name of the part -> its rank there."""
        ...

    def fused(self, queries: Mapping[str, str], runs: Sequence[Run], k: int) -> dict[str, list[Candidate]]:
        """The `k` best of each query from the lists that the parts found, as `search` orders them."""
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


@runtime_checkable
class OutsideKind(RetrieverKind, Protocol):
    """A kind whose candidates depend on more than the corpus and the settings."""

    def depends_on(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """What they depend on besides, as JSON, for fingerprints: they are made before the first stage of a run.

        Raises:
            InputError: a setting is wrong, or what it names is not there.
        """
        ...

    def reaches(self, settings: Mapping[str, Any]) -> Sequence[str]:
        """Which functions and addresses it calls, by the names under which `trust` knows them."""
        ...


def order_of_ids(doc_ids: Sequence[str]) -> NDArray[np.int64]:
    """The place of each document in the order of ids, shape (documents,)."""
    order = np.empty(len(doc_ids), dtype=np.int64)
    order[sorted(range(len(doc_ids)), key=doc_ids.__getitem__)] = np.arange(len(doc_ids))
    return order

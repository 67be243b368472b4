"""The kind `dense`: `DenseRetriever`, an encoder and a vector for each document, searched exactly or nearly so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge.embedding.encoder import Encoder, Vectors
from crossforge.embedding.store import EmbeddingStore
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, write_json, written_atomically
from crossforge.retrievers.approximate import MISSING, InvertedLists, available
from crossforge.retrievers.base import Approximation, order_of_ids
from crossforge.retrievers.checks import require_distinct, require_finite
from crossforge.retrievers.overlap import Overlap
from crossforge.retrievers.postings import Best
from crossforge.retrievers.registry import DENSE
from crossforge.retrievers.vectors import HELD, nearest
from crossforge.runs import Candidate

_FORMAT = "crossforge-dense-1"
_ENCODER = "encoder"
_BLOCK = 4096
_LISTS = "lists.faiss"
_logger = logging.getLogger(__name__)

# Query vectors of shape (queries, dimension), k, and the places among equal scores or None -> what `nearest` finds.
FindNearest = Callable[[Vectors, int, NDArray[np.int64] | None], Iterable[Best]]


class DenseRetriever:
    """Documents by the cosine of their vector and the query's; build it with `DenseKind.fit`, or read it with `load`.

    Args:
        doc_ids: the documents' ids in corpus order.
        vectors: theirs, of unit length, float16 or float32 of shape (documents, dimension); may be mapped from disk.
        encoder: made them, and embeds the queries.
        overlap: chooses the passages of long documents, by words: embedding every passage of a hundred candidates
            would take longer than reranking them.
        approximation: how a search saves time; None: it compares the query with all vectors.
        lists: the index that an approximation reads.
        find_nearest: finds what `nearest` would find among the vectors, if something else is to do it.
    """

    kind = DENSE
    name = "dense"

    def __init__(
        self,
        doc_ids: Sequence[str],
        vectors: NDArray[np.floating],
        encoder: Encoder,
        overlap: Overlap,
        approximation: Approximation | None = None,
        lists: InvertedLists | None = None,
        find_nearest: FindNearest | None = None,
    ) -> None:
        self.doc_ids = list(doc_ids)
        self.vectors = vectors
        self.encoder = encoder
        self._overlap = overlap
        self.approximation = approximation
        self._lists = lists
        self._find_nearest = find_nearest
        self._embedded: tuple[Sequence[str], Vectors] | None = None

    @property
    def description(self) -> str:
        """See `StoredRetriever`."""
        served = f", {self.approximation.description}" if self.approximation else ""
        return self.encoder.settings.description + served

    @property
    def settings(self) -> dict[str, Any]:
        """See `RepeatableRetriever`."""
        return {"encoder": self.encoder.folder}

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """See `Retriever`; every document has a cosine, so `k` are found if there are so many."""
        vectors = self.query_vectors(list(queries.values()))
        return self.search_vectors(dict(zip(queries, vectors, strict=True)), k, ties_by_id=ties_by_id)

    def search_vectors(
        self, queries: Mapping[str, Vectors], k: int, *, ties_by_id: bool = False
    ) -> dict[str, list[Candidate]]:
        """See `VectorRetriever`."""
        vectors = np.array(list(queries.values()), dtype=np.float32).reshape(len(queries), self.encoder.dimension)
        return {
            query_id: [
                Candidate(self.doc_ids[position], score)
                for position, score in zip(positions.tolist(), scores.tolist(), strict=True)
            ]
            for query_id, (positions, scores) in zip(queries, self._nearest(vectors, k, ties_by_id), strict=True)
        }

    def _nearest(self, queries: Vectors, k: int, ties_by_id: bool) -> list[Best]:
        if self.approximation and self._lists and not ties_by_id:
            found = self._lists.nearest(queries, k, self.approximation.lists)
            if all(len(positions) >= min(k, len(self.doc_ids)) for positions, _ in found):
                return found
        order = order_of_ids(self.doc_ids) if ties_by_id else None
        if self._find_nearest:
            return list(self._find_nearest(queries, k, order))
        return nearest(queries, self._searched, k, order=order)

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Retriever`."""
        return self._overlap.similarities(query, texts)

    def scores(
        self, queries: Mapping[str, str], doc_ids: Mapping[str, Sequence[str]]
    ) -> dict[str, NDArray[np.float32]]:
        """See `ScoringRetriever`: cosines."""
        vectors = self.query_vectors(list(queries.values()))
        return {
            query_id: self.vectors[[self._positions[doc_id] for doc_id in doc_ids[query_id]]].astype(np.float32)
            @ vector
            for query_id, vector in zip(queries, vectors, strict=True)
        }

    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """The vectors of queries; those of the last call are kept, since a hybrid asks twice for the same."""
        known = self._embedded  # read once: another thread may replace it at any time
        if known is None or known[0] != queries:
            known = self._embedded = queries, self.encoder.embed(queries, "query")
        return known[1]

    @property
    def query_map(self) -> Vectors | None:
        """See `VectorRetriever`."""
        return self.encoder.query_map

    def with_query_map(self, query_map: Vectors | None) -> DenseRetriever:
        """See `VectorRetriever`."""
        encoder = self.encoder.with_query_map(query_map)
        return DenseRetriever(
            self.doc_ids, self.vectors, encoder, self._overlap, self.approximation, self._lists, self._find_nearest
        )

    def approximated(self, approximation: Approximation | None) -> DenseRetriever:
        """See `ApproximableRetriever`."""
        lists = self._lists if self._lists or approximation is None else InvertedLists.build(self.vectors)
        return DenseRetriever(
            self.doc_ids, self.vectors, self.encoder, self._overlap, approximation, lists, self._find_nearest
        )

    def save(self, folder: Path) -> None:
        """See `StoredRetriever`."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            state = {"format": _FORMAT, "doc_ids": self.doc_ids, "passages_by": self._overlap.settings()}
            if self.approximation and self._lists:
                state["approximation"] = asdict(self.approximation)
                self._lists.save(beside / _LISTS)
            write_json(beside / "index.json", state)
            np.save(beside / "vectors.npy", self.vectors, allow_pickle=False)
            self.encoder.save(beside / _ENCODER)

    @classmethod
    def load(cls, folder: Path) -> DenseRetriever:
        """Read an index that `save` wrote; the vectors stay on disk.

        Raises:
            PackageError: the folder holds no such index, or its parts do not fit together.
        """
        try:
            state = read_json(folder / "index.json")
            if not isinstance(state, dict) or state.get("format") != _FORMAT:
                raise PackageError(f"{folder / 'index.json'}: not a dense index of this version ({_FORMAT})")
            vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
            encoder = Encoder(folder / _ENCODER)
            if vectors.shape != (wanted := (len(state["doc_ids"]), encoder.dimension)):
                raise PackageError(
                    f"{folder / 'vectors.npy'}: shape {vectors.shape}, but documents and encoder ask for {wanted}"
                )
            require_distinct("doc_ids", state["doc_ids"])
            require_finite("vectors", vectors)
            overlap, approximation = Overlap.read(state["passages_by"]), state.get("approximation")
            if approximation is None:
                return cls(state["doc_ids"], vectors, encoder, overlap)
            if not available():
                _logger.warning("%s: %s", folder, MISSING)
                return cls(state["doc_ids"], vectors, encoder, overlap)
            lists = InvertedLists.load(folder / _LISTS, wanted)
            return cls(state["doc_ids"], vectors, encoder, overlap, Approximation.read(approximation), lists)
        except (OSError, EOFError, ValueError, KeyError, TypeError, InputError) as error:
            raise PackageError(f"{folder}: damaged or no dense index ({error})") from None

    @cached_property
    def _searched(self) -> NDArray[np.floating]:
        """The vectors; few enough of them are held in float32, since turning them costs more than a single search."""
        return np.asarray(self.vectors, dtype=np.float32) if self.vectors.size <= HELD else self.vectors

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {doc_id: position for position, doc_id in enumerate(self.doc_ids)}


class DenseKind:
    """See `RetrieverKind`."""

    @staticmethod
    def fit(documents: Collection[Document], settings: Mapping[str, Any]) -> DenseRetriever:
        """Embed documents.

        Args:
            documents: the corpus.
            settings: `encoder`, its folder; `store`, an `EmbeddingStore` with vectors of that encoder, and `progress`,
                called with numbers of documents where some must be embedded, may be left out. With a store, `file` is
                where its vectors are written and stay, and `find_nearest` searches them; see `DenseRetriever`.

        Raises:
            InputError: the corpus is empty, or no encoder is given.
            PackageError: the encoder cannot be loaded.
        """
        if not documents:
            raise InputError("the corpus is empty: there is nothing to search in")
        if "encoder" not in settings:
            raise InputError("a dense index needs an encoder; `crossforge train` exports that of a bi-encoder")
        encoder = Encoder(Path(settings["encoder"]))
        progress, texts = settings.get("progress"), (document.full_text for document in documents)
        store: EmbeddingStore | None = settings.get("store")
        if store is not None:
            vectors = store.vectors(texts, len(documents), progress, settings.get("file"))
        else:
            vectors = np.concatenate(
                [encoder.embed(block, "document", progress).astype(np.float16) for block in blocks(texts, _BLOCK)]
            )
        doc_ids = [document.doc_id for document in documents]
        overlap = Overlap.choose(documents)
        return DenseRetriever(doc_ids, vectors, encoder, overlap, find_nearest=settings.get("find_nearest"))

    @staticmethod
    def load(folder: Path) -> DenseRetriever:
        """Read an index."""
        return DenseRetriever.load(folder)

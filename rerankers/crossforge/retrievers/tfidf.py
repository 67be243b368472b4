"""`TfidfRetriever`: a weighted index of terms (TF-IDF cosine or BM25), exact top-k, ties by corpus order."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, write_json, written_atomically
from crossforge.retrievers.analysis import Analyzer, choose_analyzer
from crossforge.retrievers.base import order_of_ids
from crossforge.retrievers.checks import require_between, require_distinct, require_finite
from crossforge.retrievers.counting import count_corpus, count_known
from crossforge.retrievers.postings import Best, best_documents
from crossforge.retrievers.registry import LEXICAL
from crossforge.retrievers.weighting import Statistics, Weighting, Weights, fit_weights, read_weights
from crossforge.runs import Candidate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_FORMAT = "crossforge-tfidf-3"
NO_WORD = "no document of the corpus holds a single word"

# Query weights of shape (queries, terms), k, and the places among equal scores or None -> what `best_documents` finds.
FindBest = Callable[["csr_matrix", int, NDArray[np.int64] | None], Iterator[Best]]


class TfidfRetriever:
    """An index of documents; build it with `fit` or read it with `load`.

    Args:
        doc_ids: the documents' ids in corpus order.
        analyzer: how texts and queries become terms.
        vocabulary: the terms, in column order.
        weights: how counts of terms become weights.
        postings: weights of the documents, shape (terms, documents): a query touches only the rows of its own terms.
        title_weight: how often a word of a title counted.
        find_best: finds what `best_documents` would find in the postings, if something else is to do it.
    """

    kind = LEXICAL

    def __init__(
        self,
        doc_ids: Sequence[str],
        analyzer: Analyzer,
        vocabulary: Sequence[str],
        weights: Weights,
        postings: csr_matrix,
        title_weight: float = 1,
        find_best: FindBest | None = None,
    ) -> None:
        self.doc_ids = list(doc_ids)
        self.analyzer = analyzer
        self._terms = list(vocabulary)
        self._columns = {term: column for column, term in enumerate(self._terms)}
        self._weights = weights
        self._postings = postings
        self.title_weight = title_weight
        self._find_best = find_best

    @classmethod
    def fit(
        cls,
        documents: Collection[Document],
        analyzer: Analyzer | None = None,
        *,
        weighting: Weighting = "tfidf",
        title_weight: float = 1,
    ) -> TfidfRetriever:
        """Index documents by title and text.

        Args:
            documents: the corpus, read three times from its beginning and not held: one on disk may stay there.
            analyzer: how text becomes terms; chosen from the corpus unless one is given.
            weighting: "tfidf" (cosine of sublinear TF-IDF vectors) or "bm25".
            title_weight: how often a word of a title counts, against once for a word of the text; 0 leaves titles out.
                Counts are multiplied before they are weighted, as in Robertson, Zaragoza and Taylor, "Simple BM25
                Extension to Multiple Weighted Fields", CIKM 2004.

        Raises:
            InputError: there is no document or not one term in any of them, no such weighting, or a negative weight.
        """
        if not documents:
            raise InputError("the corpus is empty: there is nothing to search in")
        if not 0 <= title_weight < math.inf:
            raise InputError(f"title_weight is {title_weight}; it must be 0 or more")
        analyzer = analyzer or choose_analyzer(document.full_text for document in documents)
        terms, counts = count_corpus(documents, analyzer, title_weight)
        if not terms:
            raise InputError(NO_WORD)
        weights = fit_weights(weighting, Statistics.of(counts))
        doc_ids = [document.doc_id for document in documents]
        return cls(doc_ids, analyzer, terms, weights, weights.of_documents(counts).tocsc().T, title_weight)

    @property
    def name(self) -> str:
        """See `Retriever`."""
        return "BM25" if self._weights.settings()["name"] == "bm25" else "TF-IDF"

    @property
    def description(self) -> str:
        """See `StoredRetriever`."""
        return str(self.analyzer)

    @property
    def settings(self) -> dict[str, Any]:
        """See `RepeatableRetriever`."""
        weighting = self._weights.settings()["name"]
        analyzer = {"analyzer": self.analyzer.kind, "language": self.analyzer.language}
        return {**analyzer, "weighting": weighting, "title_weight": self.title_weight}

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """The `k` best documents of each query (query id -> text); documents that share no term are not retrieved.

        Args:
            queries: what is looked for.
            k: how many documents.
            ties_by_id: put equal scores in the order of ids, and not in corpus order: then the order in which documents
                were indexed decides nothing.
        """
        weights = self._weights.of_queries(self._counts(list(queries.values())))
        order = order_of_ids(self.doc_ids) if ties_by_id else None
        find_best = self._find_best or self._best_in_postings
        found = find_best(weights, k, order)
        return {query_id: self._candidates(*best) for query_id, best in zip(queries, found, strict=True)}

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """The score of each text for the query under this index's vocabulary and weights, shape (texts,)."""
        vectors = self._weights.of_documents(self._counts(texts))
        product = vectors @ self._weights.of_queries(self._counts([query])).T
        return np.asarray(product.toarray()[:, 0], dtype=np.float32)

    def scores(
        self, queries: Mapping[str, str], doc_ids: Mapping[str, Sequence[str]]
    ) -> dict[str, NDArray[np.float32]]:
        """See `ScoringRetriever`."""
        weights = self._weights.of_queries(self._counts(list(queries.values())))
        positions = {
            query_id: np.array([self._positions[doc_id] for doc_id in doc_ids[query_id]], dtype=np.int64)
            for query_id in queries
        }
        return {query_id: self._scores_at(weights[row], positions[query_id]) for row, query_id in enumerate(queries)}

    def save(self, folder: Path) -> None:
        """Write the index as JSON and plain numpy arrays, whole or not at all."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            state = {
                "format": _FORMAT,
                "analyzer": asdict(self.analyzer),
                "title_weight": self.title_weight,
                "weighting": self._weights.settings(),
                "doc_ids": self.doc_ids,
                "terms": self._terms,
            }
            write_json(beside / "index.json", state)
            for name, array in self._arrays().items():
                np.save(beside / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> TfidfRetriever:
        """Read an index that `save` wrote.

        Raises:
            PackageError: the folder holds no such index, or arrays of it are missing.
        """
        from scipy.sparse import csr_matrix

        try:
            state = read_json(folder / "index.json")
            if not isinstance(state, dict) or state.get("format") != _FORMAT:
                raise PackageError(
                    f"{folder / 'index.json'}: not a first-stage index of this version ({_FORMAT}); index anew"
                )
            arrays = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in ("idf", "data", "indices", "indptr")
            }
            for name in ("terms", "doc_ids"):
                require_distinct(name, state[name])
            for name in ("data", "idf"):
                require_finite(name, arrays[name], least=0)
            for name in ("indices", "indptr"):
                if arrays[name].dtype.kind not in "iu":
                    raise ValueError(f"{name} holds {arrays[name].dtype}, and no whole numbers")
            shape = len(state["terms"]), len(state["doc_ids"])
            postings = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            postings.check_format(full_check=True)  # an index out of range would crash the process later
            if not postings.has_canonical_format:
                raise ValueError("the documents of a term are not in order, or one stands there twice")
            if arrays["idf"].shape != (shape[0],):
                raise ValueError("idf has another length than the vocabulary")
            weights = read_weights(state["weighting"], arrays["idf"])
            analyzer = Analyzer(**state["analyzer"])
            title_weight = require_between("title_weight", state["title_weight"], 0, sys.float_info.max)
            return cls(state["doc_ids"], analyzer, state["terms"], weights, postings, title_weight)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise PackageError(f"{folder}: damaged or no first-stage index ({error})") from None

    def _arrays(self) -> dict[str, Any]:
        postings = self._postings
        return {"idf": self._weights.idf, "data": postings.data, "indices": postings.indices, "indptr": postings.indptr}

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {doc_id: position for position, doc_id in enumerate(self.doc_ids)}

    def _scores_at(self, query: csr_matrix, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The scores of documents for one query: its terms' postings are looked up, not read through."""
        scores = np.zeros(len(positions), dtype=np.float32)
        for term, weight in zip(query.indices, query.data, strict=True):
            row = slice(*self._postings.indptr[term : term + 2])
            holders, weights = self._postings.indices[row], self._postings.data[row]
            if not len(holders):
                continue
            places = np.minimum(np.searchsorted(holders, positions), len(holders) - 1)
            scores += np.where(holders[places] == positions, weight * weights[places], 0)
        return scores

    def _best_in_postings(self, queries: csr_matrix, k: int, order: NDArray[np.int64] | None) -> Iterator[Best]:
        return best_documents(queries, self._postings, k, order=order)

    def _counts(self, texts: Sequence[str]) -> csr_matrix:
        return count_known(texts, self.analyzer, self._columns)

    def _candidates(self, positions: NDArray[np.int32], scores: NDArray[np.float32]) -> list[Candidate]:
        pairs = zip(positions.tolist(), scores.tolist(), strict=True)
        return [Candidate(self.doc_ids[position], score) for position, score in pairs]

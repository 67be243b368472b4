"""`TfidfRetriever`: a weighted index of terms (TF-IDF cosine or BM25), exact top-k, ties by corpus order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from crossforge.retrievers.weighting import Weighting, Weights, fit_weights, read_weights
from crossforge.runs import Candidate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

_QUERY_BLOCK = 256
_FORMAT = "crossforge-tfidf-2"


class TfidfRetriever:
    """An index of documents; build it with `fit` or read it with `load`.

    Args:
        doc_ids: the documents' ids in corpus order.
        analyzer: how texts and queries become terms.
        vocabulary: the terms, in column order.
        weights: how counts of terms become weights.
        matrix: weights of the documents, shape (documents, terms).
    """

    def __init__(
        self,
        doc_ids: Sequence[str],
        analyzer: Analyzer,
        vocabulary: Sequence[str],
        weights: Weights,
        matrix: csr_matrix,
    ) -> None:
        self.doc_ids = list(doc_ids)
        self.analyzer = analyzer
        self._terms = list(vocabulary)
        self._columns = {term: column for column, term in enumerate(self._terms)}
        self._weights = weights
        self._matrix = matrix
        self._postings = matrix.T.tocsr()  # terms × documents: a query touches only the rows of its own terms

    @classmethod
    def fit(
        cls, documents: Sequence[Document], analyzer: Analyzer | None = None, *, weighting: Weighting = "tfidf"
    ) -> TfidfRetriever:
        """Index documents by title and text.

        Args:
            documents: the corpus.
            analyzer: how text becomes terms; chosen from the corpus unless one is given.
            weighting: "tfidf" (cosine of sublinear TF-IDF vectors) or "bm25".

        Raises:
            InputError: there is no document, or not one term in any of them, or no such weighting.
        """
        from sklearn.feature_extraction.text import CountVectorizer

        if not documents:
            raise InputError("the corpus is empty: there is nothing to search in")
        texts = [document.full_text for document in documents]
        analyzer = analyzer or choose_analyzer(texts)
        counter = CountVectorizer(analyzer=analyzer.terms)
        try:
            counts = counter.fit_transform(texts)
        except ValueError:
            raise InputError("no document of the corpus holds a single word") from None
        vocabulary = [str(term) for term in counter.get_feature_names_out()]
        weights = fit_weights(weighting, counts)
        doc_ids = [document.doc_id for document in documents]
        return cls(doc_ids, analyzer, vocabulary, weights, weights.of_documents(counts))

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[Candidate]]:
        """The `k` best documents of each query (query id -> text); documents that share no term are not retrieved."""
        query_ids = list(queries)
        run: dict[str, list[Candidate]] = {}
        for start in range(0, len(query_ids), _QUERY_BLOCK):
            block = query_ids[start : start + _QUERY_BLOCK]
            counts = self._counter.transform([queries[query_id] for query_id in block])
            scores = (self._weights.of_queries(counts) @ self._postings).tocsr()
            for row, query_id in enumerate(block):
                found = slice(scores.indptr[row], scores.indptr[row + 1])
                run[query_id] = self._top(scores.indices[found], scores.data[found], k)
        return run

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """The score of each text for the query under this index's vocabulary and weights, shape (texts,)."""
        vectors = self._weights.of_documents(self._counter.transform(texts))
        product = vectors @ self._weights.of_queries(self._counter.transform([query])).T
        return np.asarray(product.toarray()[:, 0], dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the index as JSON and plain numpy arrays, whole or not at all."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            state = {
                "format": _FORMAT,
                "analyzer": asdict(self.analyzer),
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
            shape = len(state["doc_ids"]), len(state["terms"])
            matrix = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            matrix.check_format(full_check=True)  # an index out of range would crash the process later
            if arrays["idf"].shape != (shape[1],):
                raise ValueError("idf has another length than the vocabulary")
            weights = read_weights(state["weighting"], arrays["idf"])
            return cls(state["doc_ids"], Analyzer(**state["analyzer"]), state["terms"], weights, matrix)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise PackageError(f"{folder}: damaged or no first-stage index ({error})") from None

    def _arrays(self) -> dict[str, Any]:
        matrix = self._matrix
        return {"idf": self._weights.idf, "data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}

    @cached_property
    def _counter(self) -> CountVectorizer:
        """Made once: scikit-learn checks the whole vocabulary when it first sees it."""
        from sklearn.feature_extraction.text import CountVectorizer

        return CountVectorizer(analyzer=self.analyzer.terms, vocabulary=self._columns)

    def _top(self, positions: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> list[Candidate]:
        if k <= 0:
            return []
        if len(scores) > k:
            # Everything that ties with the k-th best stays in until corpus order has decided.
            cut = np.partition(scores, len(scores) - k)[len(scores) - k]
            positions, scores = positions[scores >= cut], scores[scores >= cut]
        best = np.lexsort((positions, -scores))[:k]
        return [Candidate(self.doc_ids[positions[i]], float(scores[i])) for i in best]

"""How term counts become weights: TF-IDF cosine or BM25, both a dot product of query weights and document weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from crossforge.errors import InputError
from crossforge.retrievers.checks import require_between

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Weighting = Literal["tfidf", "bm25"]
# What the parameters of BM25 may be.
_RANGES = {"average_length": (sys.float_info.min, sys.float_info.max), "k1": (0, sys.float_info.max), "b": (0, 1)}


@dataclass(frozen=True)
class Statistics:
    """What the weights of a corpus depend on; those of its parts add up to those of the whole.

    Attributes:
        documents: how many there are.
        frequency: how many of them hold each term, shape (terms,).
        length: how many terms they hold together, repetitions counted; exact, so that the order of addition is not
            seen.
    """

    documents: int
    frequency: NDArray[np.int64]
    length: Fraction

    @classmethod
    def of(cls, counts: csr_matrix) -> Statistics:
        """Those of documents with such term counts, shape (documents, terms)."""
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        lengths, repeated = np.unique(_row_sums(counts), return_counts=True)
        pairs = zip(lengths.tolist(), repeated.tolist(), strict=True)
        length = sum((Fraction(length) * times for length, times in pairs), Fraction())
        return cls(counts.shape[0], frequency, length)


class Weights(Protocol):
    """Weights of documents and queries under the statistics of one corpus."""

    @property
    def idf(self) -> NDArray[np.float32]:
        """Inverse document frequency of each term, shape (terms,)."""
        ...

    def of_documents(self, counts: csr_matrix) -> csr_matrix:
        """Weights from term counts, shape (documents, terms)."""
        ...

    def of_queries(self, counts: csr_matrix) -> csr_matrix:
        """Weights from term counts, shape (queries, terms)."""
        ...

    def settings(self) -> dict[str, Any]:
        """All but `idf`, for a JSON file; `read_weights` reads it."""
        ...


@dataclass(frozen=True)
class TfidfWeights:
    """(1 + log tf) · idf, each row scaled to unit length, so that the dot product is a cosine."""

    idf: NDArray[np.float32]

    @classmethod
    def fit(cls, corpus: Statistics) -> TfidfWeights:
        """The weights of a corpus."""
        idf = np.log((1 + corpus.documents) / (1 + corpus.frequency)) + 1
        return cls(idf.astype(np.float32))

    def of_documents(self, counts: csr_matrix) -> csr_matrix:
        """Unit rows."""
        tf = counts.data
        # A count below 1, from a title that weighs little, stands for itself: both curves meet at 1 without a bend.
        sublinear = np.where(tf > 1, 1 + np.log(np.maximum(tf, 1)), tf)
        weights = _with_data(counts, sublinear * self.idf[counts.indices])
        norms = np.sqrt(_row_sums(_with_data(weights, weights.data**2)))
        weights.data /= _spread_over_rows(np.where(norms > 0, norms, 1), weights)
        return weights

    of_queries = of_documents

    def settings(self) -> dict[str, Any]:
        """The name alone."""
        return {"name": "tfidf"}


@dataclass(frozen=True)
class Bm25Weights:
    """BM25 in Lucene's form with exact document lengths: idf · tf / (tf + k1 · (1 - b + b · length / average)).

    idf is log(1 + (N - n + 0.5) / (n + 0.5)), a query's weights are its term counts, and terms outside the vocabulary
    count for nothing. Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; the form
    is "Lucene (accurate)" of Kamphuis, de Vries, Boytsov and Lin, "Which BM25 Do You Mean?", ECIR 2020. The defaults
    of k1 and b are those of Anserini.

    Attributes:
        idf: inverse document frequency of each term, shape (terms,).
        average_length: mean number of terms of a document, repetitions counted.
        k1: how late repetitions of a term saturate.
        b: how much long documents are held back, from 0 to 1.
    """

    idf: NDArray[np.float32]
    average_length: float
    k1: float = 0.9
    b: float = 0.4

    @classmethod
    def fit(cls, corpus: Statistics) -> Bm25Weights:
        """The weights of a corpus."""
        idf = np.log1p((corpus.documents - corpus.frequency + 0.5) / (corpus.frequency + 0.5))
        return cls(idf.astype(np.float32), float(corpus.length / corpus.documents))

    def of_documents(self, counts: csr_matrix) -> csr_matrix:
        """Rows that say how much one occurrence of a term in the query is worth."""
        saturation = self.k1 * (1 - self.b + self.b * _row_sums(counts) / self.average_length)
        return _with_data(
            counts, counts.data * self.idf[counts.indices] / (counts.data + _spread_over_rows(saturation, counts))
        )

    def of_queries(self, counts: csr_matrix) -> csr_matrix:
        """The counts themselves."""
        return counts

    def settings(self) -> dict[str, Any]:
        """Name and parameters."""
        return {"name": "bm25", "average_length": self.average_length, "k1": self.k1, "b": self.b}


def fit_weights(weighting: Weighting, corpus: Statistics) -> Weights:
    """Weights of that name for a corpus.

    Raises:
        InputError: there is no weighting of that name.
    """
    if weighting not in get_args(Weighting):
        raise InputError(f"no weighting {weighting!r}; have {', '.join(get_args(Weighting))}")
    return Bm25Weights.fit(corpus) if weighting == "bm25" else TfidfWeights.fit(corpus)


def read_weights(settings: Mapping[str, Any], idf: NDArray[np.float32]) -> Weights:
    """Weights from what `settings()` gave.

    Raises:
        ValueError: another name or other parameters stand there.
    """
    match settings.get("name"):
        case "tfidf" if set(settings) == {"name"}:
            return TfidfWeights(idf)
        case "bm25" if set(settings) == {"name", *_RANGES}:
            return Bm25Weights(idf, **{key: require_between(key, settings[key], *_RANGES[key]) for key in _RANGES})
    raise ValueError(f"no such weighting: {dict(settings)}")


def _row_sums(matrix: csr_matrix) -> NDArray[np.float64]:
    """Shape (rows,); float64, or the order of columns would show."""
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


def _spread_over_rows(values: NDArray[np.float64], matrix: csr_matrix) -> NDArray[np.float32]:
    """The value of its row for each stored entry, shape (entries,)."""
    return np.repeat(values.astype(np.float32), np.diff(matrix.indptr))


def _with_data(matrix: csr_matrix, data: NDArray[np.float32]) -> csr_matrix:
    return type(matrix)((data, matrix.indices, matrix.indptr), shape=matrix.shape)

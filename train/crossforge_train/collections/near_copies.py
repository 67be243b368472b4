"""Finds near-copies among many texts exactly, without comparing all pairs.

Each text is a set of shingles: runs of three words, or of three characters for queries, which are too short for words.
The search uses the prefix filter of Bayardo, Ma and Srikant, "Scaling up all pairs similarity search" (WWW 2007): two
sets whose cosine reaches the threshold must share one of their rarest shingles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Shingles = Literal["words", "characters"]

_SHINGLE = 3
# Candidate pairs processed at once: about 100 MB.
_BLOCK_PAIRS = 2_000_000
_ROUNDING = 1e-9


def near_copies(texts: Sequence[str], threshold: float, shingles: Shingles = "words") -> list[tuple[int, int]]:
    """Sorted pairs of positions, smaller first, of texts whose shingle sets have a cosine of at least `threshold`.

    Args:
        texts: texts to compare; a text without shingles is a near-copy of nothing.
        threshold: least cosine of two shingle sets for the texts to be near-copies; above 0, at most 1.
        shingles: runs of three words or of three characters.
    """
    try:
        sets = _shingle_sets(texts, shingles)
    except ValueError:  # scikit-learn raises this if no text has a shingle
        return []
    sizes = np.diff(sets.indptr)
    prefixes = _rarest(sets, sizes - np.ceil(threshold**2 * sizes - _ROUNDING).astype(np.int64) + 1)
    found: list[tuple[int, int]] = []
    for rows, columns in _candidates(prefixes):
        smaller, larger = np.minimum(sizes[rows], sizes[columns]), np.maximum(sizes[rows], sizes[columns])
        possible = smaller >= threshold**2 * larger - _ROUNDING  # sizes too different for the threshold
        rows, columns = rows[possible], columns[possible]
        shared = np.asarray(sets[rows].multiply(sets[columns]).sum(axis=1)).ravel()
        near = shared >= threshold * np.sqrt(sizes[rows].astype(np.float64) * sizes[columns]) - _ROUNDING
        found += zip(rows[near].tolist(), columns[near].tolist(), strict=True)
    return sorted(found)


def _shingle_sets(texts: Sequence[str], shingles: Shingles) -> csr_matrix:
    """A binary matrix with a row per text; columns are ordered from the rarest shingle to the most frequent."""
    from sklearn.feature_extraction.text import CountVectorizer

    run = (_SHINGLE, _SHINGLE)
    if shingles == "words":
        counter = CountVectorizer(ngram_range=run, token_pattern=r"\w+", binary=True, dtype=np.int32)  # noqa: S106
    else:
        counter = CountVectorizer(analyzer="char", ngram_range=run, binary=True, dtype=np.int32)
    sets = counter.fit_transform(texts)
    by_rarity = np.argsort(np.bincount(sets.indices, minlength=sets.shape[1]), kind="stable")
    rank = np.empty_like(by_rarity)
    rank[by_rarity] = np.arange(len(by_rarity))
    sets.indices = rank[sets.indices].astype(sets.indices.dtype)
    sets.has_sorted_indices = False
    sets.sort_indices()
    return sets


def _rarest(sets: csr_matrix, counts: NDArray[np.int64]) -> csr_matrix:
    """The first `counts` entries of each row, that is, its rarest shingles."""
    from scipy.sparse import csr_matrix as matrix

    sizes = np.diff(sets.indptr)
    position = np.arange(sets.nnz) - np.repeat(sets.indptr[:-1], sizes)
    kept = position < np.repeat(counts, sizes)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, sizes))])
    return matrix((sets.data[kept], sets.indices[kept], indptr), shape=sets.shape)


def _candidates(prefixes: csr_matrix) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Blocks of pairs (row, later row) that share a column."""
    postings = prefixes.T.tocsr()
    lengths = np.diff(postings.indptr)
    # Upper bound on the pairs of each row; a block of rows ends before their sum grows too large.
    most = np.asarray(prefixes @ lengths).ravel()
    start = 0
    while start < prefixes.shape[0]:
        within = np.searchsorted(np.cumsum(most[start:]), _BLOCK_PAIRS, side="right")
        end = start + max(1, int(within))
        pairs = (prefixes[start:end] @ postings).tocoo()
        rows, columns = pairs.row + start, pairs.col
        later = columns > rows
        yield rows[later], columns[later]
        start = end

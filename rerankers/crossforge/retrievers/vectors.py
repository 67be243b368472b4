"""Exact search over unit vectors: blocks of documents against blocks of queries, on all cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crossforge.retrievers.postings import Best
from crossforge.threads import thread_count

# Documents and queries that are multiplied at a time: the products, 4 bytes each, stay in the cache of a server.
_DOCUMENTS, _QUERIES = 8192, 512
# Products of the same two vectors differ by this much, depending on the shapes of the blocks they are in.
DIGITS = 6
_ROUNDING = 10.0**-DIGITS
# Numbers that are worth holding in float32, 256 MB: turning float16 into it takes longer than the search itself.
HELD = 64_000_000


def nearest(
    queries: NDArray[np.float32],
    documents: NDArray[np.floating],
    k: int,
    *,
    order: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> list[Best]:
    """The `k` documents with the highest dot product for each query, best first.

    Every query keeps the `k` best so far, and of each further block only products that reach the last of these are
    looked at, so that almost all of them cost one comparison.

    Args:
        queries: shape (queries, dimension).
        documents: shape (documents, dimension), in float32 or float16; may be mapped from disk, and is read once.
        k: how many documents.
        order: the place of each document among equal scores, shape (documents,), where it is not that in the corpus.
        threads: how many blocks of queries are worked on at a time; None takes `thread_count()`, or one a core.

    Returns:
        For each query the positions of the documents and their scores, rounded to six decimals.
    """
    k = min(max(k, 0), len(documents))
    searches = [_Search(queries[rows], k, order) for rows in _slices(len(queries), _QUERIES)]
    if k:
        with ThreadPoolExecutor(threads or thread_count() or os.cpu_count() or 1) as pool:
            for rows in _slices(len(documents), _rows(len(queries), documents.dtype)):
                block = np.asarray(documents[rows], dtype=np.float32).T
                list(pool.map(lambda search, block=block, start=rows.start: search.add(block, start), searches))
    return [best for search in searches for best in search.best()]


class _Search:
    """The best documents so far of one block of queries."""

    def __init__(self, queries: NDArray[np.float32], k: int, order: NDArray[np.int64] | None) -> None:
        self._queries = queries
        self._k = k
        self._order = order
        self._least = np.full((len(queries), 1), -np.inf, dtype=np.float32)
        self._found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        self._waiting = 0

    def add(self, block: NDArray[np.float32], start: int) -> None:
        """Look at documents, shape (dimension, documents), of which the first has the position `start`."""
        scores = self._queries @ block
        if self._k < scores.shape[1] and not np.isfinite(self._least).all():
            self._raise_least(scores)
        rows, columns = np.divmod(np.flatnonzero(scores >= self._least), scores.shape[1])
        self._found.append((rows, columns + start, scores[rows, columns]))
        self._waiting += len(rows)
        if self._waiting > 4 * self._k * len(self._queries):
            self._settle()

    def best(self) -> Iterator[Best]:
        """Positions and scores of each query's documents."""
        self._settle()
        rows, positions, scores = self._found[0]
        ends = np.searchsorted(rows, np.arange(len(self._queries) + 1))
        for start, end in pairwise(ends.tolist()):
            yield positions[start:end].astype(np.int32), scores[start:end]

    def _raise_least(self, scores: NDArray[np.float32]) -> None:
        cut = scores.shape[1] - self._k
        self._least = np.partition(scores, cut, axis=1)[:, cut : cut + 1] - _ROUNDING

    def _settle(self) -> None:
        """Keep the `k` best of each query, and let only what reaches the last of them come after."""
        none = np.empty(0, np.int64)
        parts = self._found or [(none, none, np.empty(0, np.float32))]
        rows, positions, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        scores = scores.round(DIGITS)
        places = positions if self._order is None else self._order[positions]
        best = np.lexsort((places, -scores, rows))
        ranks = np.arange(len(best)) - np.searchsorted(rows[best], rows[best])
        best = best[ranks < self._k]
        self._found = [(rows[best], positions[best], scores[best])]
        self._waiting = 0
        last = best[ranks[ranks < self._k] == self._k - 1]
        self._least[rows[last], 0] = scores[last] - _ROUNDING


def _rows(queries: int, dtype: np.dtype[np.floating]) -> int:
    """Documents a block: many for few queries, except where each block is turned into float32."""
    return _DOCUMENTS * (max(1, _QUERIES // max(queries, 1)) if dtype == np.float32 else 1)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]

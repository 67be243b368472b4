"""Exact top-k over postings, in blocks of queries that fit in memory, on all cores where that pays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Scores that a block of queries may hold at a time: 8 bytes each, and as many again while they are summed.
_BLOCK = 4_000_000
# Postings from which the seconds that worker processes take to start are won back.
_WORTH_WORKERS = 300_000_000

# Positions of documents in the corpus, and their scores, best first.
Best = tuple[NDArray[np.int32], NDArray[np.float32]]


def best_documents(
    queries: csr_matrix,
    postings: csr_matrix,
    k: int,
    *,
    order: NDArray[np.int64] | None = None,
    processes: int | None = None,
    block: int = _BLOCK,
) -> Iterator[Best]:
    """The `k` documents with the highest scores for each query; equal scores stand in corpus order.

    A score is summed over the query's terms in the order of columns, whatever block the query falls into and whatever
    process works on it, so the result depends on neither. Scipy keeps Python's lock while it multiplies; hence
    processes, which share one copy of the postings.

    Args:
        queries: weights, shape (queries, terms), columns of each row in order.
        postings: weights, shape (terms, documents), documents of each row in order.
        k: how many documents.
        order: the place of each document among equal scores, shape (documents,), where it is not that in the corpus.
        processes: how many work at a time; None takes one a core where there is much to do.
        block: how many scores a block of queries may hold; a query alone may hold as many as there are documents.

    Yields:
        For each query the positions of at most `k` documents and their scores; documents that share no term with the
        query are not among them.
    """
    from joblib import Parallel, cpu_count, delayed

    touched = _touched(queries, postings)
    blocks = _blocks(np.minimum(touched, postings.shape[1]), block)
    if processes is None:
        processes = cpu_count() if touched.sum() > _WORTH_WORKERS else 1
    best_of_block = delayed(_best_of_block)
    parallel = Parallel(n_jobs=max(1, min(processes, len(blocks))), return_as="generator")
    found: Iterable[list[Best]] = parallel(best_of_block(queries[rows], postings, k, order) for rows in blocks)
    for of_block in found:
        yield from of_block


def _touched(queries: csr_matrix, postings: csr_matrix) -> NDArray[np.int64]:
    """How many postings each query's terms have together, shape (queries,)."""
    lengths = np.diff(postings.indptr).astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(lengths[queries.indices])])
    touched: NDArray[np.int64] = np.diff(sums[queries.indptr])
    return touched


def _blocks(sizes: NDArray[np.int64], limit: int) -> list[slice]:
    """Consecutive rows of at most `limit` together, or one row that is larger alone."""
    ends, filled = [0], 0
    for row, size in enumerate(sizes.tolist()):
        if filled + size > limit and row > ends[-1]:
            ends.append(row)
            filled = 0
        filled += size
    return [slice(start, end) for start, end in pairwise([*ends, len(sizes)]) if end > start]


def _best_of_block(queries: csr_matrix, postings: csr_matrix, k: int, order: NDArray[np.int64] | None) -> list[Best]:
    scores = (queries @ postings).tocsr()
    rows = [slice(start, end) for start, end in pairwise(scores.indptr.tolist())]
    return [top_k(scores.indices[row], scores.data[row], k, order) for row in rows]


def top_k(
    positions: NDArray[np.int32], scores: NDArray[np.float32], k: int, order: NDArray[np.int64] | None = None
) -> Best:
    """The `k` highest scores of one query and their positions, best first; equal scores by position.

    Args:
        positions: of documents, shape (documents,).
        scores: theirs, shape (documents,).
        k: how many.
        order: what equal scores are put in the order of in place of positions, shape (documents of the corpus,).
    """
    if 0 < k < len(scores):
        # Everything that ties with the k-th best stays in until their order has decided.
        cut = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = scores >= cut
        positions, scores = positions[kept], scores[kept]
    best = np.lexsort((positions if order is None else order[positions], -scores))[: max(0, k)]
    return positions[best], scores[best]

"""Searches shards for blocks of queries, and merges what they find, whatever shard answers first.

The best documents of a query are the first `k` in one strict order: by score, then by place among equals. So the best
of a whole are the best among the best of its parts, and merging may go in any order, as a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.files import written_atomically
from crossforge.retrievers.postings import Best, best_documents, top_k
from crossforge_train.compute.base import Engine
from crossforge_train.sharding.shards import Postings, Shard, map_array, map_postings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_ORDER = "order"
# Queries that go to a shard at a time.
_BLOCK = 512
# Lists of a query that the calling process merges; of more shards than that, workers search several and merge theirs.
_MOST_LISTS = 64


@dataclass(frozen=True)
class ShardedSearch:
    """The search of `TfidfRetriever` by shards; the same documents, scores and order, bit by bit.

    Attributes:
        engine: where it is done; it has to be open as long as queries come.
        shards: all of the corpus, in order.
        folder: of the shards.
    """

    engine: Engine
    shards: Sequence[Shard]
    folder: Path

    def __call__(self, queries: csr_matrix, k: int, order: NDArray[np.int64] | None) -> Iterator[Best]:
        """The `k` best documents of each query.

        Args:
            queries: weights, shape (queries, terms), columns of each row in order.
            k: how many documents.
            order: the place of each document among equal scores; None for that of the corpus.
        """
        if order is not None:
            self._write(order)
        groups = list(blocks(self.shards, -(-len(self.shards) // _MOST_LISTS)))
        rows = [slice(start, start + _BLOCK) for start in range(0, queries.shape[0], _BLOCK)]
        wanted = (ToSearch(group, queries[block], k, order is not None) for block in rows for group in groups)
        found = self.engine.map(SearchShards(self.folder), wanted)
        for _ in rows:
            yield from merged(list(islice(found, len(groups))), k, order)

    def _write(self, order: NDArray[np.int64]) -> None:
        """Into a file, which is the same for all queries; workers map it."""
        path = self.folder / f"{_ORDER}.npy"
        if not path.is_file():
            with written_atomically(path) as beside, beside.open("wb") as file:
                np.save(file, order, allow_pickle=False)


class ToSearch(NamedTuple):
    """Shards, and the queries to search them for.

    Attributes:
        shards: to be searched by one worker.
        queries: weights, shape (queries, terms of the whole vocabulary), columns of each row in order.
        k: how many documents.
        ordered: whether equal scores stand in the order that was written down, and not in that of the corpus.
    """

    shards: Sequence[Shard]
    queries: csr_matrix
    k: int
    ordered: bool


@dataclass(frozen=True)
class SearchShards:
    """Makes a worker that finds the best documents of some shards for a block of queries.

    Attributes:
        folder: of all shards.
    """

    folder: Path

    def __call__(self) -> Callable[[ToSearch], list[Best]]:
        """The worker; it maps the postings that it is asked for once."""
        mapped = cache(lambda shard: map_postings(shard, self.folder))

        def work(wanted: ToSearch) -> list[Best]:
            order = map_array(self.folder, _ORDER) if wanted.ordered else None
            return merged([_search(mapped(shard), shard, wanted, order) for shard in wanted.shards], wanted.k, order)

        return work


def merged(found: Sequence[list[Best]], k: int, order: NDArray[np.int64] | None) -> list[Best]:
    """The best documents of each query among those of several parts of the corpus, two and two.

    Args:
        found: for each part a list by query, each of positions in the whole corpus and scores.
        k: how many documents.
        order: the place of each document of the corpus among equal scores; None for that of the corpus.
    """
    while len(found) > 1:
        pairs = [found[start : start + 2] for start in range(0, len(found), 2)]
        found = [_both(pair[0], pair[1], k, order) if len(pair) == 2 else pair[0] for pair in pairs]
    return found[0]


def _both(left: list[Best], right: list[Best], k: int, order: NDArray[np.int64] | None) -> list[Best]:
    return [
        top_k(np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]), k, order)
        for one, other in zip(left, right, strict=True)
    ]


def _search(postings: Postings, shard: Shard, wanted: ToSearch, order: NDArray[np.int64] | None) -> list[Best]:
    queries = _projected(wanted.queries, postings.columns)
    own = None if order is None else order[shard.start : shard.stop]
    found = best_documents(queries, postings.weights, wanted.k, order=own, processes=1)
    return [(positions + shard.start, scores) for positions, scores in found]


def _projected(queries: csr_matrix, columns: NDArray[np.int64]) -> csr_matrix:
    """The queries under the terms of a shard alone, shape (queries, terms of the shard)."""
    from scipy.sparse import csr_matrix

    places = np.searchsorted(columns, queries.indices)
    known = places < len(columns)
    known[known] = columns[places[known]] == queries.indices[known]
    ends = np.concatenate([[0], np.cumsum(known)])[queries.indptr]
    return csr_matrix((queries.data[known], places[known], ends), shape=(queries.shape[0], len(columns)))

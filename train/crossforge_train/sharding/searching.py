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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.files import written_atomically
from crossforge.retrievers.postings import Best, top_k
from crossforge_train.compute.base import Engine
from crossforge_train.sharding.shards import Shard, map_array

_ORDER = "order"
# Lists of a query that the calling process merges; of more shards than that, workers search several and merge theirs.
_MOST_LISTS = 64

# Queries, one a row; k; and the places of a shard's documents among equal scores, or None for that in the corpus ->
# the best of its documents for each query, by their positions in the shard.
SearchShard = Callable[[Any, int, NDArray[np.int64] | None], list[Best]]
# Opens a shard among the files of all shards.
OpenShard = Callable[[Shard, Path], SearchShard]


@dataclass(frozen=True)
class ShardedSearch:
    """Searches all shards of a corpus, as one search of the whole would.

    Attributes:
        engine: where it is done; it has to be open as long as queries come.
        shards: all of the corpus, in order.
        folder: of the shards.
        open_shard: opens what is searched of a shard; pickled.
        block: how many queries go to a shard at a time.
    """

    engine: Engine
    shards: Sequence[Shard]
    folder: Path
    open_shard: OpenShard
    block: int

    def __call__(self, queries: Any, k: int, order: NDArray[np.int64] | None) -> Iterator[Best]:
        """The `k` best documents of each query.

        Args:
            queries: a matrix with a row for each query, as what is opened takes it.
            k: how many documents.
            order: the place of each document among equal scores; None for that of the corpus.
        """
        if order is not None:
            self._write(order)
        groups = list(blocks(self.shards, -(-len(self.shards) // _MOST_LISTS)))
        rows = [slice(start, start + self.block) for start in range(0, queries.shape[0], self.block)]
        wanted = (ToSearch(group, queries[block], k, order is not None) for block in rows for group in groups)
        found = self.engine.map(SearchShards(self.folder, self.open_shard), wanted)
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
        queries: a matrix with a row for each.
        k: how many documents.
        ordered: whether equal scores stand in the order that was written down, and not in that of the corpus.
    """

    shards: Sequence[Shard]
    queries: Any
    k: int
    ordered: bool


@dataclass(frozen=True)
class SearchShards:
    """Makes a worker that finds the best documents of some shards for a block of queries.

    Attributes:
        folder: of all shards.
        open_shard: see `ShardedSearch`.
    """

    folder: Path
    open_shard: OpenShard

    def __call__(self) -> Callable[[ToSearch], list[Best]]:
        """The worker; it opens each shard that it is asked for once."""
        opened = cache(lambda shard: self.open_shard(shard, self.folder))

        def work(wanted: ToSearch) -> list[Best]:
            order = map_array(self.folder, _ORDER) if wanted.ordered else None
            return merged([_search(opened(shard), shard, wanted, order) for shard in wanted.shards], wanted.k, order)

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


def _search(search: SearchShard, shard: Shard, wanted: ToSearch, order: NDArray[np.int64] | None) -> list[Best]:
    own = None if order is None else order[shard.start : shard.stop]
    return [(positions + shard.start, scores) for positions, scores in search(wanted.queries, wanted.k, own)]

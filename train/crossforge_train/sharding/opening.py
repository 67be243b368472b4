"""What is searched of a shard: its postings, or the vectors of its documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossforge.retrievers.postings import Best, best_documents
from crossforge.retrievers.vectors import nearest
from crossforge_train.sharding.searching import SearchShard
from crossforge_train.sharding.shards import Shard, map_array, map_postings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

VECTORS = "vectors"


def open_postings(shard: Shard, folder: Path) -> SearchShard:
    """Search the postings of a shard, which stay on disk; a query is a row of weights, of all terms of the corpus."""
    postings = map_postings(shard, folder)

    def search(queries: csr_matrix, k: int, order: NDArray[np.int64] | None) -> list[Best]:
        own = _projected(queries, postings.columns)
        return list(best_documents(own, postings.weights, k, order=order, processes=1))

    return search


def open_vectors(shard: Shard, folder: Path) -> SearchShard:
    """Search the vectors of a shard, rows of one array of all documents, which stay on disk; a query is a vector."""
    vectors = map_array(folder, VECTORS)[shard.start : shard.stop]

    def search(queries: NDArray[np.float32], k: int, order: NDArray[np.int64] | None) -> list[Best]:
        return nearest(queries, vectors, k, order=order)

    return search


def _projected(queries: csr_matrix, columns: NDArray[np.int64]) -> csr_matrix:
    """The queries under the terms of a shard alone, shape (queries, terms of the shard)."""
    from scipy.sparse import csr_matrix

    places = np.searchsorted(columns, queries.indices)
    known = places < len(columns)
    known[known] = columns[places[known]] == queries.indices[known]
    ends = np.concatenate([[0], np.cumsum(known)])[queries.indptr]
    return csr_matrix((queries.data[known], places[known], ends), shape=(queries.shape[0], len(columns)))

"""The postings of all shards as one matrix on disk, the same that one process would have made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossforge.files import written_atomically
from crossforge_train.sharding.shards import Shard, map_matrix, map_postings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def join_postings(shards: Sequence[Shard], folder: Path, terms: int, target: Path) -> csr_matrix:
    """Write the postings of all shards, one shard in memory at a time, and map them.

    Args:
        shards: all of the corpus, in order.
        folder: of the shards.
        terms: of the whole vocabulary.
        target: folder to write; afterwards it is there whole, or not at all.

    Returns:
        Weights of shape (terms, documents).
    """
    lengths = np.zeros(terms, dtype=np.int64)
    for columns, weights in (map_postings(shard, folder) for shard in shards):
        lengths[columns] += np.diff(weights.indptr)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    documents = shards[-1].stop
    # What scipy would choose, which for a matrix of two kinds of numbers would copy one of them into memory.
    kind = np.int32 if max(ends[-1], documents, terms) <= np.iinfo(np.int32).max else np.int64
    with written_atomically(target) as beside:
        beside.mkdir()
        np.save(beside / "indptr.npy", ends.astype(kind), allow_pickle=False)
        data = _empty(beside / "data.npy", np.float32, int(ends[-1]))
        indices = _empty(beside / "indices.npy", kind, int(ends[-1]))
        filled = ends[:-1].copy()
        for shard in shards:
            columns, weights = map_postings(shard, folder)
            lengths = np.diff(weights.indptr).astype(np.int64)
            places = np.arange(weights.nnz) + np.repeat(filled[columns] - weights.indptr[:-1], lengths)
            data[places] = weights.data
            indices[places] = weights.indices + shard.start
            filled[columns] += lengths
        data.flush()
        indices.flush()
    return map_matrix(target, (terms, documents))


def _empty(path: Path, kind: type[np.generic], size: int) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(size,))

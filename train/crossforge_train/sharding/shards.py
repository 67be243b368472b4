"""What a shard is: documents that stand together in the corpus, and the files of their postings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.files import written_atomically

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_ARRAYS = ("data", "indices", "indptr")
_POSTINGS, _COLUMNS = "postings", "columns"


class Shard(NamedTuple):
    """Documents from position `start` in the corpus to before position `stop`."""

    number: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many documents there are."""
        return self.stop - self.start

    def folder(self, parent: Path) -> Path:
        """Where its files are."""
        return parent / f"{self.number:05}"


class Postings(NamedTuple):
    """The postings of a shard.

    Attributes:
        columns: columns of its terms in the whole vocabulary, ascending, shape (terms of the shard,).
        weights: of shape (terms of the shard, documents of the shard).
    """

    columns: NDArray[np.int64]
    weights: csr_matrix


def cut(documents: int, shards: int) -> list[Shard]:
    """A corpus in shards of like size; fewer if there are fewer documents."""
    ends = np.linspace(0, documents, min(shards, documents) + 1).astype(int).tolist()
    return [Shard(number, start, stop) for number, (start, stop) in enumerate(pairwise(ends))]


def save_postings(shard: Shard, parent: Path, columns: NDArray[np.int64], weights: csr_matrix) -> None:
    """Write the postings of a shard, to be read by `map_postings`."""
    save_matrix(shard.folder(parent) / _POSTINGS, weights, **{_COLUMNS: columns})


def map_postings(shard: Shard, parent: Path) -> Postings:
    """The postings of a shard; they stay on disk."""
    folder = shard.folder(parent) / _POSTINGS
    columns = map_array(folder, _COLUMNS)
    return Postings(columns, map_matrix(folder, (len(columns), shard.size)))


def save_matrix(folder: Path, matrix: csr_matrix, **further: NDArray[Any]) -> None:
    """Write a matrix, and further arrays by name, as plain arrays: all or none."""
    arrays = {**{name: getattr(matrix, name) for name in _ARRAYS}, **further}
    with written_atomically(folder) as beside:
        beside.mkdir()
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)


def map_matrix(folder: Path, shape: tuple[int, int]) -> csr_matrix:
    """A matrix that `save_matrix` wrote; its arrays stay on disk."""
    from scipy.sparse import csr_matrix

    return csr_matrix(tuple(map_array(folder, name) for name in _ARRAYS), shape=shape)


def map_array(folder: Path, name: str) -> NDArray[Any]:
    """An array that was written by this name; it stays on disk."""
    found: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return found

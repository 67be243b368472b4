"""Approximate search over many vectors: faiss's inverted lists, of which each query reads the nearest few.

Source: H. Jégou, M. Douze and C. Schmid, "Product quantization for nearest neighbor search", TPAMI 2011, for the lists;
the vectors in them are not quantized.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.errors import InputError, last_line
from crossforge.retrievers.postings import Best
from crossforge.retrievers.vectors import DIGITS

MISSING = 'faiss is not installed, so all vectors are searched: pip install "crossforge[ann]"'
# Lists are made by so many rounds of k-means over so many vectors a list: more changes recall in the third digit.
_ROUNDS, _SAMPLE = 8, 40
_BLOCK = 50_000


def available() -> bool:
    """Whether the library is installed."""
    return find_spec("faiss") is not None


class InvertedLists:
    """Unit vectors in float16, each in the list of the centre nearest to it; safe to search from several threads.

    Args:
        index: faiss's.
        path: the file that it is mapped from, if it is.
    """

    def __init__(self, index: Any, path: Path | None = None) -> None:
        self._index = index
        self._path = path

    @classmethod
    def build(cls, vectors: NDArray[np.floating], seed: int = 0) -> InvertedLists:
        """Sort vectors into 4 √n lists.

        Args:
            vectors: shape (documents, dimension); may be mapped from disk, and is read in blocks.
            seed: of the sample that k-means is run on.

        Raises:
            InputError: faiss is not installed.
        """
        if not available():
            raise InputError(MISSING)
        import faiss

        count, dimension = vectors.shape
        lists = max(1, min(int(4 * count**0.5), count // _SAMPLE))
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dimension),
            dimension,
            lists,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.cp.niter, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = _ROUNDS, _SAMPLE, 1
        drawn = np.random.default_rng(seed).choice(count, min(count, lists * _SAMPLE), replace=False)
        index.train(np.asarray(vectors[np.sort(drawn)], dtype=np.float32))
        for start in range(0, count, _BLOCK):
            index.add(np.asarray(vectors[start : start + _BLOCK], dtype=np.float32))
        return cls(index)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(self._index.nlist)

    def nearest(self, queries: NDArray[np.float32], k: int, lists: int) -> list[Best]:
        """The best documents of the lists nearest to each query, ordered as an exact search orders them.

        Args:
            queries: shape (queries, dimension).
            k: how many documents; fewer are found where these lists hold fewer.
            lists: how many lists are read for each query.
        """
        import faiss

        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = lists
        found = self._index.search(np.ascontiguousarray(queries), k, params=parameters)
        return [_ordered(scores, positions, self._index.ntotal) for scores, positions in zip(*found, strict=True)]

    def save(self, path: Path) -> None:
        """Write the index."""
        if self._path:  # faiss would write down where the vectors are mapped from, and not the vectors
            shutil.copyfile(self._path, path)
            return
        import faiss

        faiss.write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path, shape: tuple[int, int]) -> InvertedLists:
        """Map an index from disk: only the centres are read into memory.

        Args:
            path: of the file.
            shape: (documents, dimension) that it must have.

        Raises:
            ValueError: it is damaged, or of another shape.
        """
        import faiss

        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except RuntimeError as error:
            raise ValueError(f"{path.name}: {last_line(error)}") from None
        least = shape[0] * shape[1] * np.dtype(np.float16).itemsize  # a smaller file says that vectors are elsewhere
        if not isinstance(index, faiss.IndexIVF) or (index.ntotal, index.d) != shape or path.stat().st_size < least:
            raise ValueError(f"{path.name}: no index of {shape[0]} vectors of {shape[1]} numbers")
        return cls(index, path)


def _ordered(scores: NDArray[np.float32], positions: NDArray[np.int64], count: int) -> Best:
    there = (positions >= 0) & (positions < count)  # -1 where the lists held too few
    scores, positions = scores[there].round(DIGITS), positions[there]
    order = np.lexsort((positions, -scores))
    return positions[order].astype(np.int32), scores[order]

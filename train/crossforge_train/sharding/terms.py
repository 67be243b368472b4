"""Terms on disk, and how many documents hold each: shards split theirs by a hash, so that workers add up part by part.

Terms stand in sorted order, which is that of their UTF-8 bytes as well as that of Python's texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossforge.files import written_atomically
from crossforge_train.compute.base import Engine
from crossforge_train.sharding.shards import Shard

_TERM, _FREQUENCY, _IDF = "term", "frequency", "idf"
_TERMS_FILE, _VOCABULARY_FILE = "terms.arrow", "vocabulary.arrow"


def terms_file(shard: Shard, folder: Path) -> Path:
    """Where a shard's terms are."""
    return shard.folder(folder) / _TERMS_FILE


def vocabulary_file(folder: Path) -> Path:
    """Where the terms of the whole corpus are."""
    return folder / _VOCABULARY_FILE


def save_terms(path: Path, terms: Sequence[str], frequency: NDArray[np.int64], parts: int) -> None:
    """Write terms and how many documents hold each, in as many parts, which hashes of the terms decide."""
    # `hash` differs from one process to the next; a checksum does not.
    part = np.fromiter((crc32(term.encode()) % parts for term in terms), np.int64, len(terms))
    ordered = _batch(terms, _FREQUENCY, frequency).take(pa.array(np.argsort(part, kind="stable")))
    ends = np.cumsum(np.bincount(part, minlength=parts)).tolist()
    _write(path, [ordered.slice(start, stop - start) for start, stop in pairwise([0, *ends])])


def frequencies(
    engine: Engine, shards: Sequence[Shard], folder: Path, parts: int
) -> tuple[list[str], NDArray[np.int64]]:
    """The terms of all shards in sorted order, and how many documents of the corpus hold each, shape (terms,).

    Args:
        engine: where each part is added up; the calling process gets each of their terms once.
        shards: all of the corpus; their terms are saved in as many parts.
        folder: of the shards.
        parts: how many.
    """
    added = pa.concat_tables(engine.map(AddUpPart(tuple(shards), folder), range(parts))).sort_by(_TERM)
    frequency: NDArray[np.int64] = added[_FREQUENCY].to_numpy()
    return added[_TERM].to_pylist(), frequency


@dataclass(frozen=True)
class AddUpPart:
    """Makes a worker that adds up the frequencies of one part of the terms over all shards."""

    shards: Sequence[Shard]
    folder: Path

    def __call__(self) -> Callable[[int], pa.Table]:
        """The worker."""
        return self._work

    def _work(self, part: int) -> pa.Table:
        found = pa.Table.from_batches(
            [_mapped(terms_file(shard, self.folder)).get_batch(part) for shard in self.shards]
        )
        added = found.group_by(_TERM, use_threads=False).aggregate([(_FREQUENCY, "sum")])
        # Its chunks are windows on one memory, which pickling would write once for each of them.
        return added.select([_TERM, f"{_FREQUENCY}_sum"]).rename_columns([_TERM, _FREQUENCY]).combine_chunks()


def save_vocabulary(folder: Path, terms: Sequence[str], idf: NDArray[np.float32]) -> None:
    """Write the terms of the whole corpus with their weights, for `Vocabulary`."""
    _write(vocabulary_file(folder), [_batch(terms, _IDF, idf)])


class Vocabulary:
    """The terms of the whole corpus; they stay on disk.

    Args:
        folder: into which `save_vocabulary` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self._terms, self._idf = _mapped(vocabulary_file(folder)).get_batch(0).columns

    def columns(self, path: Path) -> NDArray[np.int64]:
        """The columns of terms that `save_terms` wrote, ascending, which is the order of the terms."""
        own = _mapped(path).read_all()[_TERM]
        return np.flatnonzero(pc.is_in(self._terms, value_set=own).to_numpy(zero_copy_only=False))

    def idf(self, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """The weights of some terms."""
        found: NDArray[np.float32] = self._idf.to_numpy()[columns]
        return found


def _batch(terms: Sequence[str], name: str, values: NDArray[Any]) -> pa.RecordBatch:
    return pa.record_batch({_TERM: pa.array(terms, pa.large_string()), name: values})


def _write(path: Path, batches: Sequence[pa.RecordBatch]) -> None:
    with (
        written_atomically(path) as beside,
        pa.OSFile(str(beside), "wb") as sink,
        pa.ipc.new_file(sink, batches[0].schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _mapped(path: Path) -> pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(pa.memory_map(str(path)))

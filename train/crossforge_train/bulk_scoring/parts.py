"""The parts of a scored table: files of their own, each written whole or not at all, and joined at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.errors import InputError
from crossforge.files import read_json, write_json, written_atomically
from crossforge.reranker import Scored
from crossforge_train.bulk_scoring.pairs import PROBABILITY, ROW, SCORE, TRUNCATED, Pair, PairTable

# Pairs of a part, which are put into batches by their length.
_PART = 2048
_MADE_FROM_FILE, _MADE_FROM = "made_from.json", b"crossforge"

MadeFrom = Mapping[str, Any]


@dataclass(frozen=True)
class Parts:
    """A table in parts of 2048 rows.

    Attributes:
        folder: of the parts.
        table: what is scored.
    """

    folder: Path
    table: PairTable

    def open(self, made_from: MadeFrom) -> None:
        """Make the folder, or go on with it.

        Raises:
            InputError: it holds scores of something else.
        """
        about = self.folder / _MADE_FROM_FILE
        if about.is_file():
            require_same(self.folder, read_json(about), made_from)
        write_json(about, made_from)

    def missing(self) -> set[int]:
        """The numbers of the parts that are not there."""
        return {number for number in self._numbers if not self._file(number).is_file()}

    def size(self, number: int) -> int:
        """How many rows a part has."""
        return min(_PART, self.table.rows - number * _PART)

    def pairs(self, numbers: set[int]) -> Iterator[tuple[int, list[Pair]]]:
        """The rows of parts, each with its number, in order."""
        for number, block in enumerate(blocks(self.table.pairs(), _PART)):
            if number in numbers:
                yield number, block

    def write(self, number: int, pairs: Sequence[Pair], scored: Scored, probabilities: NDArray[np.float64]) -> None:
        """Write a part."""
        rows = range(number * _PART, number * _PART + len(pairs))
        columns = {
            ROW: rows,
            **{name: [pair.others[name] for pair in pairs] for name in self.table.kept},
            SCORE: scored.logits,
            PROBABILITY: probabilities,
            TRUNCATED: scored.truncated,
        }
        schema = self.table.schema
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
        with written_atomically(self._file(number)) as beside:
            pq.write_table(pa.table(arrays, schema=schema), beside)

    def join(self, out: Path, made_from: MadeFrom) -> None:
        """Write all parts as one file, a part in memory at a time."""
        schema = self.table.schema.with_metadata({_MADE_FROM: json.dumps(made_from)})
        with written_atomically(out) as beside, pq.ParquetWriter(beside, schema) as writer:
            for number in self._numbers:
                writer.write_table(pq.read_table(self._file(number)).replace_schema_metadata(schema.metadata))

    @property
    def _numbers(self) -> range:
        return range(-(-self.table.rows // _PART))

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:08}.parquet"


def require_made_from(out: Path, made_from: MadeFrom) -> None:
    """Raise `InputError` unless a finished table was made from the same."""
    try:
        found = json.loads((pq.read_schema(out).metadata or {})[_MADE_FROM])
    except (pa.ArrowInvalid, OSError, KeyError, ValueError):
        raise InputError(f"{out}: is there already, and holds no scores of this command; name another file") from None
    require_same(out, found, made_from)


def require_same(where: Path, found: MadeFrom, made_from: MadeFrom) -> None:
    """Raise `InputError` that names what differs."""
    differs = [name for name in {**made_from, **found} if found.get(name) != made_from.get(name)]
    if differs:
        raise InputError(f"{where}: holds scores of another {' and '.join(differs)}; delete it, or name another output")

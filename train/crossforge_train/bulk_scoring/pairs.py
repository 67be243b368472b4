"""The table of pairs: what it has to hold, and the columns that go with the scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.tokenization import PairTokenizer
from crossforge_train.collections.corpus import storable
from crossforge_train.collections.readers.tables import Row, read_rows, text_cell, title_cell

QUERY, TEXT, TITLE = "query", "text", "title"
ROW, SCORE, PROBABILITY, TRUNCATED = "row", "score", "probability", "truncated"
_WRITTEN = (ROW, SCORE, PROBABILITY, TRUNCATED)
_LARGEST, _LARGEST_AS_FLOAT = 2**63 - 1, 2**53


class _Large(int):
    """The kind of a column with whole numbers that a float does not hold."""


_TYPES: Mapping[type, pa.DataType] = {
    bool: pa.bool_(), int: pa.int64(), _Large: pa.int64(), float: pa.float64(), str: pa.large_string()
}  # fmt: skip


class Pair(NamedTuple):
    """A pair to score, and what else its row holds."""

    query: str
    text: str
    others: Mapping[str, Any]


@dataclass(frozen=True)
class PairTable:
    """A table that was looked through: each of its rows can be scored.

    Attributes:
        path: the file.
        rows: how many there are.
        kept: the other columns that go with the scores, by name: those of texts or numbers.
    """

    path: Path
    rows: int
    kept: Mapping[str, pa.DataType]

    def pairs(self) -> Iterator[Pair]:
        """The rows in order."""
        for row in read_rows(self.path):
            kept = {name: row.values.get(name) for name in self.kept}
            others = {name: storable(value) if isinstance(value, str) else value for name, value in kept.items()}
            yield Pair(text_cell(row, QUERY), _text(row), others)

    @property
    def schema(self) -> pa.Schema:
        """Of the scored table."""
        scores = {ROW: pa.int64(), **self.kept, SCORE: pa.float32(), PROBABILITY: pa.float64(), TRUNCATED: pa.bool_()}
        return pa.schema(list(scores.items()))


def look_through(path: Path, tokenizer: PairTokenizer) -> PairTable:
    """Read the whole table once, before hours are spent on its first rows.

    Args:
        path: JSONL, CSV, TSV or Parquet with the columns `query`, `text` and perhaps `title`.
        tokenizer: says which queries are too long.

    Raises:
        InputError: a row cannot be scored; the message names it and the column.
    """
    kinds: dict[str, type | None] = {}
    rows = 0
    before: str | None = None
    for row in read_rows(path):
        query = text_cell(row, QUERY)
        if query != before:  # a query's documents mostly stand together
            _require_query(query, row.where, tokenizer)
            before = query
        _text(row)
        for name, value in row.values.items():
            if name not in (QUERY, TEXT, TITLE):
                kinds[name] = _kind(name, value, kinds.get(name, type(None)), row.where)
        rows += 1
    if not rows:
        raise InputError(f"{path}: holds no pairs")
    kept = {name: _TYPES.get(kind, pa.null()) for name, kind in kinds.items() if kind is not None}
    return PairTable(path, rows, kept)


def _text(row: Row) -> str:
    return Document("", text_cell(row, TEXT), title_cell(row, TITLE, required=False)).full_text


def _require_query(query: str, where: str, tokenizer: PairTokenizer) -> None:
    if not query.strip():
        raise InputError(f"{where}: column {QUERY!r} is empty")
    try:
        tokenizer.require_room(query)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _kind(name: str, value: Any, known: type | None, where: str) -> type | None:
    """What a column holds, given what it held before; None if it is not kept, NoneType as long as it is empty."""
    if name in _WRITTEN:
        raise InputError(f"{where}: column {name!r} is one that is written; call it otherwise")
    if known is None or value is None:
        return known
    kind = type(value)
    if kind not in _TYPES:
        return None
    if kind is int and abs(value) > _LARGEST:
        raise InputError(f"{where}: column {name!r} holds a number of more than 64 bits; make it a text")
    if kind is int and abs(value) > _LARGEST_AS_FLOAT:
        kind = _Large
    if known in (type(None), kind):
        return kind
    if {known, kind} == {int, float}:
        return float
    if {known, kind} == {int, _Large}:
        return _Large
    if {known, kind} == {_Large, float}:
        raise InputError(
            f"{where}: column {name!r} holds {value!r:.40}; a column cannot mix decimals with whole numbers beyond "
            "2^53; make all its values texts"
        )
    raise InputError(
        f"{where}: column {name!r} holds {value!r:.40}, and rows before it other kinds of values; make all texts"
    )

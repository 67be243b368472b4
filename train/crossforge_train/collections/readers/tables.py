"""Rows of a JSONL, CSV, TSV or Parquet file, each with the place that an error message names."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.errors import InputError
from crossforge.files import opened_text, read_jsonl
from crossforge_train.collections.readers.grades import Grading

_LONGEST_CELL = 1 << 30
# What tables call their column of labels.
_LABELS = re.compile(r"(label|score)s?|relevance", re.IGNORECASE)


class Row(NamedTuple):
    """One row: `where` is file and line (of Parquet, the row number), `values` holds a value for each column."""

    where: str
    values: Mapping[str, Any]


def row_of(where: str, values: Mapping[str, Any]) -> Row:
    """A row of typed columns, where texts, also those in lists, may be bytes in UTF-8."""
    return Row(where, {name: _as_text(value) for name, value in values.items()})


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table; its format follows from the suffix (.gz behind it is unpacked, but not of Parquet).

    A CSV file has quotation marks as spreadsheets write them; a TSV file has none: a line is a row.

    Raises:
        InputError: the file cannot be read, is in another format, or a row is malformed.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _read_parquet(path)
    name = name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return (Row(f"{path}, line {number}", values) for number, values in read_jsonl(path))
    if name.endswith(".csv"):
        return _read_separated(path, {"delimiter": ",", "strict": True})
    if name.endswith((".tsv", ".tab")):
        return _read_separated(path, {"delimiter": "\t", "quoting": csv.QUOTE_NONE})
    raise InputError(f"{path}: unknown kind of table; its name ends in .jsonl, .csv, .tsv (each also .gz) or .parquet")


def text_cell(row: Row, column: str) -> str:
    """The text in a column.

    Raises:
        InputError: there is no such column, or it holds something else.
    """
    value = _cell(row, column)
    if isinstance(value, list):
        raise InputError(f"{row.where}: column {column!r} holds a list; make each of its texts a row of its own")
    if not isinstance(value, str):
        raise InputError(f"{row.where}: column {column!r} holds {_named(value)} where a text is expected")
    return value


def title_cell(row: Row, column: str, required: bool) -> str:
    """The title in a column; empty if it is null, or if there is no such column and it is not required."""
    if column not in row.values and not required:
        return ""
    return text_cell(row, column) if _cell(row, column) is not None else ""


def id_cell(row: Row, column: str) -> str:
    """The id in a column, numbers as text.

    Raises:
        InputError: there is no such column, or no id in it that runs and qrels can carry.
    """
    value = _cell(row, column)
    if value is None or isinstance(value, bool | float | list | dict | bytes):
        raise InputError(f"{row.where}: column {column!r} holds {_named(value)} where an id is expected")
    return checked_id(str(value), row.where)


def checked_id(key: str, where: str) -> str:
    """The id itself, if TREC runs and qrels can carry it."""
    if key.split() != [key]:
        raise InputError(f"{where}: the id {key!r} is empty or holds a space, which TREC runs and qrels cannot carry")
    return key


def label_cell(row: Row, column: str, grading: Grading) -> int:
    """The grade of the relevance label in a column.

    Raises:
        InputError: there is no such column, or no label in it.
    """
    return grading.grade(_cell(row, column), row.where)


def label_column(columns: Iterable[str]) -> str | None:
    """The first of these columns whose name says that it holds labels; None if there is none."""
    return next((name for name in columns if _LABELS.fullmatch(name)), None)


def is_number(text: str) -> bool:
    """Whether a text is a number of any kind."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_finite(value: Any) -> bool:
    """Whether a value is a number, neither infinite nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def other_cells(row: Row, used: Collection[str]) -> dict[str, Any]:
    """What stands in the columns that are not used for anything, empty cells left out."""
    return {name: value for name, value in row.values.items() if name not in used and value not in (None, "")}


def _cell(row: Row, column: str) -> Any:
    if column not in row.values:
        raise InputError(f"{row.where}: there is no column {column!r}; columns here: {', '.join(map(str, row.values))}")
    return row.values[column]


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:  # an image, say
        return value


def _named(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.40}"


def _read_separated(path: Path, dialect: dict[str, Any]) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    with opened_text(path, newline="") as lines:
        reader = csv.reader(lines, **dialect)
        try:
            header = next(reader, [])
            columns = [name.strip() for name in header]
            _check_header(columns, path)
            started = reader.line_num + 1
            for cells in reader:
                where, started = f"{path}, line {started}", reader.line_num + 1
                if not cells:
                    continue
                if len(cells) != len(columns):
                    raise InputError(f"{where}: {len(cells)} columns where the header has {len(columns)}")
                yield Row(where, dict(zip(columns, cells, strict=True)))
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def _check_header(columns: list[str], path: Path) -> None:
    if not columns:
        raise InputError(f"{path}: no rows in it; the first line names the columns")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}, line 1: the column {twice!r} stands twice")


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        number = 0
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=8192):
                for values in batch.to_pylist():
                    number += 1
                    yield row_of(f"{path}, row {number}", values)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({' '.join(str(error).split())})") from None

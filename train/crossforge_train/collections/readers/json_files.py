"""JSON files of a data set, read here: the `datasets` library makes points in time of texts such as "2024-01-05"."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import opened_text, read_json, read_jsonl

_SUFFIXES = (".json", ".jsonl", ".ndjson")


class JsonTable:
    """The rows of one split, read anew each time; what a row lacks is None.

    Args:
        paths: files with an object a line, or a list of objects or of texts.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self.column_names = list(dict.fromkeys(name for row in self._rows() for name in row))

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        nothing = dict.fromkeys(self.column_names)
        return ({**nothing, **row} for row in self._rows())

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        for path in self._paths:
            yield from _listed(path) if _is_list(path) else (row for _, row in read_jsonl(path))


def json_tables(files: Mapping[str, Sequence[Path]]) -> dict[str, JsonTable]:
    """The table of each split, given its files.

    Raises:
        InputError: a file is not JSON.
    """
    return {split: JsonTable(paths) for split, paths in files.items()}


def opened_files(data_files: Mapping[Any, Sequence[str]]) -> dict[str, list[Path]]:
    """Where the files of each split lie, fetched if they are a hub's, and unpacked unless they are read packed.

    Args:
        data_files: places of the files, as a builder of the `datasets` library lists them.
    """
    return {str(split): [path for place in places for path in _opened(place)] for split, places in data_files.items()}


def _opened(place: str) -> Iterator[Path]:
    import datasets

    manager = datasets.DownloadManager()
    here = place if Path(place).is_file() else manager.download(place)
    plain = place.lower().removesuffix(".gz").endswith(_SUFFIXES)
    return map(Path, [here] if plain else manager.iter_files(manager.extract(here)))


def _is_list(path: Path) -> bool:
    with opened_text(path) as text:
        return next((character for line in text for character in line.strip()[:1]), "") == "["


def _listed(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, row in enumerate(read_json(path), start=1):
        if not isinstance(row, dict | str):
            raise InputError(f"{path}, item {number}: expected an object or a text, found {json.dumps(row)[:40]}")
        yield row if isinstance(row, dict) else {"text": row}

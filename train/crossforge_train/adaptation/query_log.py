"""Reads a log of queries that nobody judged, and leaves out what should not be learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.errors import InputError
from crossforge.files import read_lines
from crossforge_train.collections.near_copies import near_copies
from crossforge_train.collections.personal import personal_data
from crossforge_train.collections.query_key import query_key, signed_words
from crossforge_train.collections.readers.grades import whole_number
from crossforge_train.collections.readers.tables import read_rows, text_cell
from crossforge_train.collections.splits import NEARLY_SAME, connected
from crossforge_train.config.query_log import QueryLogConfig

_LONGEST = 300  # characters; longer ones are pasted texts


class Logged(NamedTuple):
    """A query and how often it was asked."""

    text: str
    times: int


def read_query_log(config: QueryLogConfig, counted: Counter[str]) -> list[Logged]:
    """The distinct queries of a log, the most frequent first, at most as many as the config says.

    Args:
        config: file, columns, and how many to take.
        counted: is told what became of the log's queries.

    Raises:
        InputError: the file cannot be read, a line is malformed, or no query is left.
    """
    asked: Counter[str] = Counter()
    for text, count in _lines(config):
        counted["queries of the log"] += 1
        query = " ".join(text.split())
        if kind := personal_data(query):
            counted[f"queries dropped: {kind}"] += 1
        elif not any(map(str.isalnum, query)):
            counted["queries dropped: no letter and no digit"] += 1
        elif len(query) > _LONGEST:
            counted["queries dropped: too long"] += 1
        else:
            asked[query] += count
    found = merged(asked)
    counted["queries merged with others that are nearly the same"] += len(asked) - len(found)
    rare = [query for query in found if query.times < config.min_count]
    counted["queries dropped: too rare"] += len(rare)
    kept = [query for query in found if query.times >= config.min_count]
    if not kept:
        raise InputError(f"{config.file}: no query in it is left; see collection.documents.log in the configuration")
    counted["queries dropped: more than are wanted"] += max(0, len(kept) - config.queries)
    return kept[: config.queries]


def merged(asked: Mapping[str, int]) -> list[Logged]:
    """Queries that are the same, or nearly the same, as one; the most frequent spelling stands for all.

    `query_key` says what is the same. Queries with different digits, or different signs that belong to words, are never
    nearly the same: nearly all of "iphone 12 charger" is in "iphone 13 charger".

    Args:
        asked: text -> count.
    """
    key_of = {text: query_key(text) for text in asked}
    keys = sorted(set(key_of.values()))
    near = ((keys[left], keys[right]) for left, right in near_copies(keys, NEARLY_SAME, "characters"))
    cluster = connected(keys, [(one, other) for one, other in near if _telling(one) == _telling(other)])
    counts: Counter[str] = Counter()
    best: dict[str, tuple[int, str]] = {}
    for text, count in asked.items():
        key = cluster[key_of[text]]
        counts[key] += count
        best[key] = max(best.get(key, (0, "")), (count, text))
    return sorted((Logged(best[key][1], counts[key]) for key in best), key=lambda query: (-query.times, query.text))


def _telling(key: str) -> tuple[str, list[str]]:
    """What never differs between queries that are nearly the same."""
    return "".join(filter(str.isdigit, key)), signed_words(key)


def _lines(config: QueryLogConfig) -> Iterable[tuple[str, int]]:
    name = config.file.name.lower().removesuffix(".gz")
    if name.endswith((".txt", ".text")):
        return ((line, 1) for line in read_lines(config.file) if line.strip())
    return _rows(config.file, config.query, config.count)


def _rows(path: Path, query: str, count: str) -> Iterator[tuple[str, int]]:
    for row in read_rows(path):
        text = text_cell(row, query)
        if text.strip():
            yield text, _count(row.values.get(count), row.where)


def _count(value: Any, where: str) -> int:
    if value is None or value == "":
        return 1
    try:
        number = whole_number(value, where)
    except InputError:
        number = 0
    if number < 1:
        raise InputError(f"{where}: the count {value!r:.40} is no whole number of 1 or more")
    return number

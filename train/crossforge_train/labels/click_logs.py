"""Reads click logs: a table with a line for each document that was shown, or User Behavior Insights (UBI)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.errors import InputError
from crossforge_train.collections.readers.tables import Row, id_cell, read_rows, text_cell
from crossforge_train.config.clicks import ClickColumns, ClickWeights, UbiFiles

_YES, _NO = ("1", "true", "yes", "t", "y"), ("0", "false", "no", "f", "n", "")
_FLAGS = {"1": True, "0": False, 1: True, 0: False}  # most logs hold nothing else
_LAST_POSITION = 100_000
_IMPRESSION = "impression"


class Shown(NamedTuple):
    """A document that was shown for a query.

    Attributes:
        query: text of the query, as it was typed.
        doc_id: what was shown.
        position: where.
        gain: how much the reaction to it counts; 0 for none.
    """

    query: str
    doc_id: str
    position: int
    gain: float


def read_click_table(path: Path, columns: ClickColumns, weights: ClickWeights) -> Iterator[Shown]:
    """Yield the lines of a click log.

    Raises:
        InputError: the table cannot be read, a column is missing, or a line is malformed.
    """
    for row in read_rows(path):
        gain = 0.0
        if _flag(row, columns.clicked):
            gain = weights.click
            if _seconds(row.values.get(columns.dwell), row.where) >= weights.long_dwell_seconds:
                gain = max(gain, weights.long_dwell)
        if columns.purchased in row.values and _flag(row, columns.purchased):
            gain = max(gain, weights.purchase)
        position = _position(_value(row, columns.position), row.where)
        yield Shown(text_cell(row, columns.query), id_cell(row, columns.document), position, gain)


def read_ubi(files: UbiFiles, weights: ClickWeights, dropped: Counter[str]) -> Iterator[Shown]:
    """Yield what UBI recorded as shown, by its impression events or else by the ids that a query returned.

    Sources: the schemas of UBI 1.3.0 for queries and events. Several events of one query and document are one reaction,
    the strongest of them.

    Args:
        files: exports of `ubi_queries` and `ubi_events`.
        weights: how much an action counts; other actions count nothing.
        dropped: is told how many queries and events were of no use, and why.

    Raises:
        InputError: a file cannot be read, a row is malformed, or no query has a text.
    """
    asked, listed = _ubi_queries(files.queries)
    log = _UbiEvents()
    for row in read_rows(files.events):
        _take(row, asked, files.dwell, weights, log, dropped)
    typed = {query_id: text for query_id, text in asked.items() if text}
    dropped["queries without a text"] += len(asked) - len(typed)
    if not typed:
        raise InputError(f"{files.queries}: none of its {len(asked):,} queries has a text (user_query)")
    first = log.first_position()
    for query_id, text in typed.items():
        places = _from_one(log.impressions.get(query_id, {}), first) or listed[query_id]
        # What was clicked was seen, even if the page recorded no impression of it.
        reactions, positions = log.gains.get(query_id, {}), _from_one(log.positions.get(query_id, {}), first)
        for doc_id in reactions:
            if doc_id not in places and doc_id in positions:
                places[doc_id] = positions[doc_id]
        dropped["reactions to documents at unknown positions"] += len(reactions.keys() - places.keys())
        for doc_id, position in places.items():
            yield Shown(text, doc_id, position, reactions.get(doc_id, 0.0))


class _UbiEvents:
    """By query id and document: positions of impressions and of reactions, and how much the reactions count."""

    def __init__(self) -> None:
        self.impressions: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.positions: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.gains: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def first_position(self) -> int:
        """Where its positions start: at 1, or at 0 if that occurs."""
        recorded = (*self.impressions.values(), *self.positions.values())
        return 0 if any(0 in positions.values() for positions in recorded) else 1


def _from_one(positions: Mapping[str, int], first: int) -> dict[str, int]:
    return {doc_id: position - first + 1 for doc_id, position in positions.items()}


def _take(
    row: Row, asked: Mapping[str, str], dwell: str, weights: ClickWeights, log: _UbiEvents, dropped: Counter[str]
) -> None:
    event = _source(row)
    action, attributes = event.get("action_name"), event.get("event_attributes")
    if not isinstance(action, str):
        raise InputError(f"{row.where}: no action_name; keys here: {', '.join(map(str, event))}")
    gain = {"click": weights.click, "click_through": weights.click, "add_to_cart": weights.add_to_cart,
            "purchase": weights.purchase, _IMPRESSION: 0.0}.get(action)  # fmt: skip
    if gain is None:
        return
    query_id = str(event.get("query_id"))
    if query_id not in asked:
        dropped["events of unknown queries"] += 1
        return
    found = attributes if isinstance(attributes, dict) else {}
    doc_id, position = _object(found, row.where)
    if doc_id is None or (action == _IMPRESSION and position is None):
        dropped["events without an object and a position"] += 1
        return
    if action == _IMPRESSION and position is not None:
        log.impressions[query_id].setdefault(doc_id, position)
        return
    if "click" in action and _seconds(found.get(dwell), row.where) >= weights.long_dwell_seconds:
        gain = max(gain, weights.long_dwell)
    log.gains[query_id][doc_id] = max(gain, log.gains[query_id].get(doc_id, 0.0))
    if position is not None:
        log.positions[query_id].setdefault(doc_id, position)


def _ubi_queries(path: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Query id -> text, and query id -> document -> position from 1; the text of mere browsing is empty."""
    texts: dict[str, str] = {}
    listed: dict[str, dict[str, int]] = {}
    for row in read_rows(path):
        found = _source(row)
        query_id, text, hits = (found.get(key) for key in ("query_id", "user_query", "query_response_hit_ids"))
        if query_id is None:
            raise InputError(f"{row.where}: no query_id; keys here: {', '.join(map(str, found))}")
        if text is not None and not isinstance(text, str):
            raise InputError(f"{row.where}: user_query holds {text!r:.40} where a text is expected")
        if hits is not None and not isinstance(hits, list):
            raise InputError(f"{row.where}: query_response_hit_ids holds {hits!r:.40} where a list of ids is expected")
        texts[str(query_id)] = (text or "").strip()
        listed[str(query_id)] = {str(doc_id): place for place, doc_id in enumerate(hits or (), start=1)}
    return texts, listed


def _source(row: Row) -> Mapping[str, Any]:
    """A row itself, or what an export of an index wraps."""
    wrapped = row.values.get("_source")
    return wrapped if isinstance(wrapped, dict) else row.values


def _object(attributes: Mapping[str, Any], where: str) -> tuple[str | None, int | None]:
    """Id and position of what an event is about."""
    about, place = attributes.get("object"), attributes.get("position")
    doc_id = about.get("object_id") if isinstance(about, dict) else None
    ordinal = place.get("ordinal") if isinstance(place, dict) else None
    if isinstance(ordinal, dict):  # up to version 1.1
        ordinal = ordinal.get("index")
    return None if doc_id is None else str(doc_id), None if ordinal is None else _position(ordinal, where)


def _value(row: Row, column: str) -> Any:
    if column not in row.values:
        raise InputError(f"{row.where}: there is no column {column!r}; columns here: {', '.join(map(str, row.values))}")
    return row.values[column]


def _flag(row: Row, column: str) -> bool:
    value = _value(row, column)
    if isinstance(value, str | int) and value in _FLAGS:
        return _FLAGS[value]
    text = "" if value is None else str(value).strip().lower().removesuffix(".0")
    if text not in _YES and text not in _NO:
        raise InputError(f"{row.where}: column {column!r} holds {value!r:.40} where 1, 0, true or false is expected")
    return text in _YES


def _position(value: Any, where: str) -> int:
    if isinstance(value, str) and len(value) < 6 and value.isdecimal():
        return int(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer() or not 0 <= number <= _LAST_POSITION:
        raise InputError(f"{where}: the position {value!r:.40} is no whole number of 0 or more")
    return int(number)


def _seconds(value: Any, where: str) -> float:
    if value is None or value == "":
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise InputError(f"{where}: the dwell time {value!r:.40} is no number of seconds")
    return number

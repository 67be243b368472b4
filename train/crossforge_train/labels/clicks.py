"""The source `clicks:`: documents, and judgements made of what was shown and clicked."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import CLICKS, JUDGED_BY, Collection, Qrels
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.personal import personal_data
from crossforge_train.collections.readers.assembly import distinct, some
from crossforge_train.collections.readers.labelled import content_id
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.texts import corpus_files, corpus_name, read_placed
from crossforge_train.config.clicks import ClicksSource
from crossforge_train.labels.click_logs import Shown, read_click_table, read_ubi
from crossforge_train.labels.click_model import Attraction, attraction

_ROUNDING = 1e-9  # what is average in all must not fall below it by its last digit


class _Log(NamedTuple):
    """A click log in numbers; a pair is a query and a document."""

    pairs: list[tuple[str, str]]
    queries: dict[str, str]
    pair: list[int]
    position: list[int]
    gain: list[float]


def read_clicks(source: ClicksSource) -> Collection:
    """The documents, and for each split the queries that enough was shown for, with graded judgements.

    Queries that differ in case and spaces are one. A query is left out if no document reaches the first grade.

    Raises:
        InputError: a file cannot be read, a line is malformed, or no judgement comes of the log.
    """
    placed = some(read_placed(source.corpus, source.corpus_columns), f"{source.corpus}: no documents in it")
    corpus = ArrowCorpus.from_documents(distinct(placed))
    counted: Counter[str] = Counter()
    queries: dict[str, str] = {}
    splits: dict[str, Qrels] = {}
    for split in source.log or source.ubi or {}:
        log = _log(_lines(source, split, counted), corpus, split, counted)
        if not log.pair:
            raise InputError(f"{_place(source, split)}: no line in it shows a document of {source.corpus}")
        if not any(log.gain):
            raise InputError(f"{_place(source, split)}: {_nothing_chosen(source, len(log.gain))}")
        splits[split] = _judgements(log, source, _place(source, split), counted)
        queries |= {query_id: log.queries[query_id] for query_id in splits[split]}
    fields = {query_id: {JUDGED_BY: CLICKS} for query_id in queries}
    name = corpus_name(source.corpus)
    return Collection(name, corpus, queries, splits, fields, counted={key: n for key, n in counted.items() if n})


def files_of(source: ClicksSource) -> list[Path]:
    """What is read."""
    logs = list((source.log or {}).values())
    for files in (source.ubi or {}).values():
        logs += [files.queries, files.events]
    return [*corpus_files(source.corpus), *logs]


def _place(source: ClicksSource, split: str) -> Path:
    return source.log[split] if source.log is not None else (source.ubi or {})[split].events


def _nothing_chosen(source: ClicksSource, lines: int) -> str:
    where = f"column {source.columns.clicked!r} (collection.clicks.columns.clicked)" if source.log else "events"
    return f"nobody clicked anything in its {lines:,} lines, so they say nothing; check its {where}"


def _lines(source: ClicksSource, split: str, counted: Counter[str]) -> Iterator[Shown]:
    if source.log is not None:
        return read_click_table(source.log[split], source.columns, source.weights)
    return read_ubi((source.ubi or {})[split], source.weights, counted)


def _log(lines: Iterable[Shown], corpus: Mapping[str, Document], split: str, counted: Counter[str]) -> _Log:
    log = _Log([], {}, [], [], [])
    places: dict[tuple[str, str], int] = {}
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    known: dict[str, tuple[str, str]] = {}
    doc_ids = set(corpus)  # looking each line's document up on disk would take most of the time
    for query, doc_id, position, gain in lines:
        counted["lines of the click log"] += 1
        if doc_id not in doc_ids:
            counted["lines with documents that are not in the corpus"] += 1
            continue
        if query not in known:
            known[query] = _usable(query)
        text, reason = known[query]
        if reason:
            counted[reason] += 1
            continue
        spellings[text.casefold()][text] += 1
        pair = (text.casefold(), doc_id)
        log.pair.append(places.setdefault(pair, len(places)))
        log.position.append(position)
        log.gain.append(gain)
    ids = {text: content_id("q", split, text) for text in spellings}
    log.queries.update({ids[text]: max(found, key=lambda key: (found[key], key)) for text, found in spellings.items()})
    log.pairs.extend((ids[text], doc_id) for text, doc_id in places)
    return log


def _usable(query: str) -> tuple[str, str]:
    """A query without spare spaces, and why its lines are left out, if they are."""
    text = " ".join(query.split())
    if not text:
        return text, "lines without a query"
    kind = personal_data(text)
    return text, f"lines whose query holds a {kind}" if kind else ""


def _judgements(log: _Log, source: ClicksSource, place: Path, counted: Counter[str]) -> dict[str, dict[str, int]]:
    found = _attraction(log, source, place)
    gains = np.bincount(log.pair, log.gain)
    qrels: dict[str, dict[str, int]] = {}
    for (query_id, doc_id), ratio, gain, shown in zip(log.pairs, found.ratio, gains, found.impressions, strict=True):
        if shown < source.min_impressions:
            counted["pairs with too few impressions"] += 1
        else:
            # The prior alone makes a document average that was only shown where next to nobody clicks.
            grade = bisect_right(source.grades, float(ratio) + _ROUNDING) if gain else 0
            qrels.setdefault(query_id, {})[doc_id] = grade
    judged = {query_id: labels for query_id, labels in sorted(qrels.items()) if any(labels.values())}
    counted["queries without a relevant document"] += len(qrels) - len(judged)
    counted["judged pairs"] += sum(map(len, judged.values()))
    if not judged:
        raise InputError(
            f"{place}: of {len(log.pairs):,} pairs of query and document, none that was shown "
            f"{source.min_impressions} times reaches the first grade; lower collection.clicks.min_impressions or grades"
        )
    return {query_id: dict(sorted(labels.items())) for query_id, labels in judged.items()}


def _attraction(log: _Log, source: ClicksSource, place: Path) -> Attraction:
    positions = np.array(log.position, np.int64)
    positions -= min(1, int(positions.min()))  # the first position is 1, or 0 if that occurs
    bias = None
    if source.position_bias is not None:
        bias = np.array(source.position_bias)
        if len(bias) <= positions.max():
            raise InputError(
                f"{place}: position {int(positions.max()) + 1} occurs, but collection.clicks.position_bias has only "
                f"{len(bias)}"
            )
    gains = np.array(log.gain, np.float64)
    return attraction(np.array(log.pair, np.int64), positions, gains, prior=source.prior, bias=bias)


def _depends_on(source: ClicksSource) -> dict[str, Any]:
    return file_hashes(files_of(source))


READER = Reader(read_clicks, _depends_on)

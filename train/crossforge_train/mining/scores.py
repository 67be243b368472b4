"""Scores that were computed elsewhere as a teacher: from a table, or from the files of another tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import sha256
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.collections.readers.mix import original_query
from crossforge_train.collections.readers.tables import Row, id_cell, is_finite, read_rows
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.mining.teacher import SCORE_DIGITS, TeacherKind
from crossforge_train.reporting import Reporter

Scores = Mapping[str, Mapping[str, float]]  # query id -> document id -> score

_QUERY, _DOCUMENT, _SCORE = "query-id", "corpus-id", "score"


class KnownScores:
    """A `Teacher` whose scores are known beforehand; nothing is known of their scale, so none is above a margin.

    A document without a score gets the lowest of its group, or if it is relevant, the lowest of the relevant ones.

    Args:
        scores: what is known.
        collection: holds the queries.
        split: the split whose judgements say what is relevant.
    """

    def __init__(self, scores: Scores, collection: Collection, split: str) -> None:
        self._scores = scores
        self._queries = collection.queries
        self._qrels = collection.qrels(split)

    def can_read(self, query_id: str) -> bool:
        """Whether a relevant document of the query has a score: without one, there is no measure for the others."""
        return bool(self._of_relevant(query_id))

    def read(self, groups: Sequence[Group]) -> None:
        """See `Teacher`."""

    def scores(self, group: Group) -> list[float]:
        """See `Teacher`."""
        known = self._known(group.query_id)
        lowest_relevant = min(self._of_relevant(group.query_id))
        lowest = min((known[doc_id] for doc_id in group.doc_ids if doc_id in known), default=lowest_relevant)
        labelled = zip(group.doc_ids, group.labels, strict=True)
        found = [known.get(doc_id, lowest_relevant if label > 0 else lowest) for doc_id, label in labelled]
        return [round(score, SCORE_DIGITS) for score in found]

    def above(self, group: Group, margin: float) -> list[str]:
        """None."""
        return []

    def _known(self, query_id: str) -> Mapping[str, float]:
        return self._scores.get(original_query(query_id, self._queries), {})

    def _of_relevant(self, query_id: str) -> list[float]:
        known = self._known(query_id)
        return [known[doc_id] for doc_id in positives(self._qrels.get(query_id, {})) if doc_id in known]


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Read a table of `query-id`, `corpus-id` and `score`; of a pair that stands twice, the last score counts.

    Raises:
        InputError: the file cannot be read, lacks a column, or a score is no finite number.
    """
    scores: dict[str, dict[str, float]] = {}
    for row in read_rows(path):
        scores.setdefault(id_cell(row, _QUERY), {})[id_cell(row, _DOCUMENT)] = _score(row)
    return scores


def _score(row: Row) -> float:
    value = row.values.get(_SCORE)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not is_finite(number):
        raise InputError(f"{row.where}: column {_SCORE!r} holds {value!r:.40} where a number is expected")
    return number


def _open(config: Config, collection: Collection, reporter: Reporter) -> KnownScores:
    path, split = config.mining.teacher_scores, config.collection.train
    teacher = KnownScores(read_scores(path) if path else collection.own_scores, collection, split)
    queries = collection.qrels(split)
    scored = sum(map(teacher.can_read, queries))
    if not scored:
        raise InputError(
            f"mining.teacher_scores: {path}: no score in it is of a training query and a document relevant to it; ids "
            "are those of the collection"
            if path
            else f"mining.teacher is scores, but {collection.name} brings none for its training queries; name a table "
            "in mining.teacher_scores, or collect again with --fresh if an earlier version did"
        )
    reporter.note(
        f"teacher scores: {scored:,} of {len(queries):,} training queries have one for a relevant document"
        + ("; the others are left out" if scored < len(queries) else "")
    )
    return teacher


def _depends_on(config: Config) -> Mapping[str, Any]:
    path = config.mining.teacher_scores
    if path is None:  # the collection's own scores are part of the stage before
        return {}
    if not path.is_file():
        raise InputError(f"mining.teacher_scores: {path}: no such file")
    return {path.name: sha256(path)}


TEACHER = TeacherKind(_open, _depends_on)

"""Several teachers as one: the average of their scores, standardised by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from crossforge.calibration import standardised
from crossforge_train.mining.groups import Group
from crossforge_train.mining.teacher import SCORE_DIGITS, ProbabilisticTeacher, Teacher, above_margin


class AveragedTeacher:
    """A `Teacher` that averages others.

    Scores of different teachers have different scales, and some scales change from query to query: a BM25 score grows
    with the query's words. So each teacher's scores are standardised over all documents that were read for the query,
    to a mean of 0 and a standard deviation of 1. Where teachers agree, their average keeps that spread; where they
    contradict each other, it shrinks, and with it what is learned there. Scores between the lowest and the highest
    would hang on these two documents alone.

    The average is put back on the scale of the first teacher, so that a `distillation_temperature` that fits it fits
    the average: times its usual spread within a query, plus its mean for the query.

    Args:
        teachers: two or more.
        weights: of each of them, in any unit.
    """

    def __init__(self, teachers: Sequence[Teacher], weights: Sequence[float]) -> None:
        self._teachers = teachers
        self._weights = np.array(weights, dtype=np.float64) / sum(weights)
        self._known: dict[str, dict[str, int]] = {}  # query id -> document id -> label
        self._averages: dict[str, dict[str, float]] | None = None

    def can_read(self, query_id: str) -> bool:
        """Whether all of them can."""
        return all(teacher.can_read(query_id) for teacher in self._teachers)

    def read(self, groups: Sequence[Group]) -> None:
        """See `Teacher`."""
        for teacher in self._teachers:
            groups = [group for group in groups if teacher.can_read(group.query_id)]
            teacher.read(groups)
        for group in groups:
            self._known.setdefault(group.query_id, {}).update(zip(group.doc_ids, group.labels, strict=True))
        self._averages = None  # a further document moves all scores of its query

    def scores(self, group: Group) -> list[float]:
        """See `Teacher`; a document's score is the same in every group of its query."""
        if self._averages is None:
            self._averages = self._averaged()
        return [self._averages[group.query_id][doc_id] for doc_id in group.doc_ids]

    def probabilities(self, group: Group) -> NDArray[np.float64] | None:
        """The average over the teachers that know some; see `ProbabilisticTeacher`."""
        asked = [
            (weight, teacher.probabilities(group))
            for weight, teacher in zip(self._weights, self._teachers, strict=True)
            if isinstance(teacher, ProbabilisticTeacher)
        ]
        known = [(weight, found) for weight, found in asked if found is not None]
        if not known:
            return None
        return np.average([found for _, found in known], axis=0, weights=[weight for weight, _ in known])

    def above(self, group: Group, margin: float) -> list[str]:
        """By averaged probabilities, and whatever a teacher names that tells nobody its probabilities."""
        own = [teacher for teacher in self._teachers if not isinstance(teacher, ProbabilisticTeacher)]
        named = [doc_id for teacher in own for doc_id in teacher.above(group, margin)]
        return list(dict.fromkeys([*above_margin(group, self.probabilities(group), margin), *named]))

    def _averaged(self) -> dict[str, dict[str, float]]:
        """Query id -> document id -> score."""
        # A teacher finds out only as it reads that it cannot score a query that others have read before it.
        known = {query_id: labels for query_id, labels in self._known.items() if self.can_read(query_id)}
        scores = {query_id: self._scores(_whole(query_id, labels)) for query_id, labels in known.items()}
        usual = _usual_spread([found[0] for found in scores.values()])
        return {query_id: dict(zip(_order(known[query_id]), self._average(found, usual), strict=True))
                for query_id, found in scores.items()}  # fmt: skip

    def _scores(self, group: Group) -> NDArray[np.float64]:
        """Shape (teachers, documents)."""
        return np.array([teacher.scores(group) for teacher in self._teachers], dtype=np.float64)

    def _average(self, scores: NDArray[np.float64], usual: float) -> list[float]:
        alike = np.array([standardised(of_one) for of_one in scores])
        averaged: NDArray[np.float64] = scores[0].mean() + usual * (self._weights @ alike)
        rounded: list[float] = averaged.round(SCORE_DIGITS).tolist()
        return rounded


def _order(labels: Mapping[str, int]) -> list[str]:
    """Positives first, as in every group."""
    return sorted(labels, key=lambda doc_id: -labels[doc_id])


def _whole(query_id: str, labels: Mapping[str, int]) -> Group:
    """All documents that were read for a query as one group."""
    doc_ids = _order(labels)
    return Group(query_id, doc_ids, [labels[doc_id] for doc_id in doc_ids], [0] * len(doc_ids))


def _usual_spread(scores: Sequence[NDArray[np.float64]]) -> float:
    """The root mean square of a teacher's standard deviations within queries; 1 if it tells no documents apart."""
    found = float(np.sqrt(np.mean([one.var() for one in scores])))
    return found or 1.0

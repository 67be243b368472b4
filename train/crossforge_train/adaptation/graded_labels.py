"""Labels from a judge's grades, without those that are probably wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge_train.collections.agreement import JudgedTwice
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.agreement import ENOUGH_PAIRS
from crossforge_train.labels.grading import GRADES
from crossforge_train.labels.posterior import error_rates, posteriors, relevant_shares


class GradedPair(NamedTuple):
    """A candidate of a query, at which place it was found, from 0, and its grade."""

    query_id: str
    doc_id: str
    place: int
    grade: int


class GradedLabels(NamedTuple):
    """What grades come to.

    Attributes:
        labels: query id -> document id -> grade, 0 for those below `judge.relevant`.
        left_out: how many labels are probably wrong, and so are not among them.
    """

    labels: Mapping[str, Mapping[str, int]]
    left_out: int


def graded_pairs(pairs: Iterable[tuple[str, str]], grades: Iterable[int | None]) -> Iterator[GradedPair]:
    """Those pairs of query and document that have a grade; the documents of a query come in their order."""
    places: Counter[str] = Counter()
    for (query_id, doc_id), grade in zip(pairs, grades, strict=True):
        if grade is not None:
            yield GradedPair(query_id, doc_id, places[query_id], grade)
        places[query_id] += 1


def labels_of(pairs: Sequence[GradedPair], both: Sequence[JudgedTwice], config: JudgeConfig) -> GradedLabels:
    """The labels; where people judged enough pairs to decide, without those that are probably wrong.

    They decide nothing if `judge.least_kappa` is None.

    A label of relevant is left out where the probability of that is below `judge.least_posterior`, one of not relevant
    where it is not: nobody has judged these documents.

    Args:
        pairs: those that have a grade.
        both: what people judged as well, with the judge's grades.
        config: the judge.
    """
    people_decide = config.least_kappa is not None and len(both) >= ENOUGH_PAIRS
    known = _posteriors(pairs, both) if config.least_posterior and people_decide else None
    labels: dict[str, dict[str, int]] = {}
    left_out = 0
    for pair in pairs:
        label = label_of(pair.grade, config)
        if known is not None and (known[pair.place, pair.grade] >= config.least_posterior) != (label > 0):
            left_out += 1
        else:
            labels.setdefault(pair.query_id, {})[pair.doc_id] = label
    return GradedLabels(labels, left_out)


def label_of(grade: int, config: JudgeConfig) -> int:
    """What a grade comes to: 0 if it is below `judge.relevant`."""
    return grade if grade >= config.relevant else 0


def _posteriors(pairs: Sequence[GradedPair], both: Sequence[JudgedTwice]) -> NDArray[np.float64] | None:
    """How probably a document is relevant, by place and grade; None if people found all relevant, or none."""
    if len({found.people > 0 for found in both}) < 2:
        return None
    counts = np.zeros((max((pair.place for pair in pairs), default=0) + 1, len(GRADES)), np.int64)
    np.add.at(counts, ([pair.place for pair in pairs], [pair.grade for pair in pairs]), 1)
    rates = error_rates(((found.people > 0, found.machine) for found in both), len(GRADES))
    return posteriors(relevant_shares(counts, rates), rates)

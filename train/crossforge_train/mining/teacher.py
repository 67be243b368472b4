"""What every teacher is, and mining with one: its margin keeps false negatives out, its scores are distilled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.mining.negatives import JUDGED, LESS_RELEVANT, Mined, Miner, joined
from crossforge_train.reporting import Reporter

# Judged by a person, or drawn at random: neither was retrieved, so neither is a false negative by retrieval.
TRUSTED = ("positive", LESS_RELEVANT, JUDGED, "random")


SCORE_DIGITS = 4  # scores are written to a file that is to be the same on every run


class Teacher(Protocol):
    """Says how relevant the documents of mined groups are to their queries."""

    def can_read(self, query_id: str) -> bool:
        """Whether the query leaves room for a document; asked again after its groups were read."""
        ...

    def read(self, groups: Sequence[Group]) -> None:
        """Score the pairs of the groups that were not scored before."""
        ...

    def scores(self, group: Group) -> list[float]:
        """What is distilled: the scores of the group's documents, which were read before, shape (documents,)."""
        ...

    def above(self, group: Group, margin: float) -> list[str]:
        """The doubtable negatives (those whose source is not in `TRUSTED`) that are relevant in the teacher's eyes.

        Args:
            group: was read before; its first document is the positive.
            margin: share of the positive's probability that a negative may have. A teacher that knows no
                probabilities names none.
        """
        ...


@runtime_checkable
class ProbabilisticTeacher(Teacher, Protocol):
    """A teacher that knows, or may know, how probable it is that a document is relevant."""

    def probabilities(self, group: Group) -> NDArray[np.float64] | None:
        """That of each of the group's documents, which were read before, shape (documents,); None if it knows none."""
        ...


class TeacherKind(NamedTuple):
    """How one kind of teacher is opened.

    Attributes:
        open: config, collection whose groups are scored, reporter -> teacher; raises `InputError` or `PackageError`.
        depends_on: config -> hashes of what decides its scores.
    """

    open: Callable[[Config, Collection, Reporter], Teacher]
    depends_on: Callable[[Config], Mapping[str, Any]]


def above_margin(group: Group, probabilities: NDArray[np.float64] | None, margin: float) -> list[str]:
    """The doubtable negatives whose probability exceeds `margin` times the positive's; none if none is known.

    Probabilities and not logits: a share of a logit means nothing where it is negative.
    """
    if probabilities is None:
        return []
    return [
        doc_id
        for doc_id, source, probability in zip(group.doc_ids, group.sources, probabilities, strict=True)
        if source not in TRUSTED and probability > margin * probabilities[0]
    ]


def mine_with_teacher(
    miner: Miner, query_ids: Sequence[str], teacher: Teacher, margin: float | None, *, relabel: bool
) -> Mined:
    """Mine until no chosen negative is above the teacher's margin; the groups get its scores.

    Args:
        miner: of the split of the queries; it mines a query again as long as one of its negatives is above the margin.
        query_ids: what to mine.
        teacher: scores pairs.
        margin: share of the positive's probability that a negative may have; None lets all pass.
        relabel: keep what is above the margin, with the positive's label, instead of mining again without it.
    """
    mined: dict[str, Mined] = {}
    doubtful: dict[str, set[str]] = {query_id: set() for query_id in query_ids}
    unsettled = list(query_ids)
    while unsettled:
        for query_id in unsettled:
            mined[query_id] = _readable(miner.mine_query(query_id, doubtful[query_id]), teacher)
        teacher.read([group for query_id in unsettled for group in mined[query_id].groups])
        mined.update({query_id: _readable(mined[query_id], teacher) for query_id in unsettled})
        above = {query_id: _above(mined[query_id].groups, teacher, margin) for query_id in unsettled}
        if relabel:
            mined = {query_id: _relabelled(found, above[query_id]) for query_id, found in mined.items()}
            break
        for query_id, doc_ids in above.items():
            doubtful[query_id] |= doc_ids
        unsettled = [query_id for query_id in unsettled if above[query_id]]
    whole = joined(mined.values())
    return Mined([replace(group, teacher=teacher.scores(group)) for group in whole.groups], whole.counts)


def _readable(mined: Mined, teacher: Teacher) -> Mined:
    """Without the groups whose query fills the teacher by itself, or that it could not score."""
    kept = [group for group in mined.groups if teacher.can_read(group.query_id)]
    left_out = len(mined.groups) - len(kept)
    return Mined(kept, replace(mined.counts, unreadable=mined.counts.unreadable + left_out))


def _above(groups: Sequence[Group], teacher: Teacher, margin: float | None) -> set[str]:
    return {doc_id for group in groups for doc_id in teacher.above(group, margin)} if margin is not None else set()


def _relabelled(mined: Mined, relevant: set[str]) -> Mined:
    """By query, so that a document is not relevant in one of its groups and a negative in another."""
    groups = [_with_labels(group, relevant) for group in mined.groups]
    return Mined(groups, replace(mined.counts, relabelled=len(relevant)))


def _with_labels(group: Group, relevant: set[str]) -> Group:
    label = group.labels[0]
    labels = [label if doc_id in relevant else old for doc_id, old in zip(group.doc_ids, group.labels, strict=True)]
    return replace(group, labels=labels)

"""A cross-encoder as teacher: candidates that it takes for relevant are no negatives, and its scores are distilled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from crossforge.reranker import Reranker
from crossforge_train.collections.collection import Collection
from crossforge_train.mining.groups import Group
from crossforge_train.mining.negatives import Mined
from crossforge_train.reporting import Reporter

_DIGITS = 4  # written to a file that is to be the same on every run
_CHUNK = 2048
# Judged by a person, or drawn at random: neither was retrieved, so neither is a false negative by retrieval.
_TRUSTED = ("positive", "judged", "random")

# query id -> documents that are doubtful as negatives
Doubtful = Mapping[str, set[str]]


class CrossEncoderTeacher:
    """Scores pairs of a collection, each once.

    Args:
        reranker: any one-label cross-encoder.
        collection: holds the texts.
        reporter: shows progress.
    """

    def __init__(self, reranker: Reranker, collection: Collection, reporter: Reporter) -> None:
        self._reranker = reranker
        self._collection = collection
        self._reporter = reporter
        self._logits: dict[tuple[str, str], float] = {}

    def can_read(self, query_id: str) -> bool:
        """Whether the query leaves room for a document."""
        return self._reranker.tokenizer.fits(self._collection.queries[query_id])

    def read(self, groups: Sequence[Group]) -> None:
        """Score the pairs of the groups that were not scored before, in length-sorted batches."""
        pairs = {(group.query_id, doc_id): None for group in groups for doc_id in group.doc_ids}
        new = [pair for pair in pairs if pair not in self._logits]
        if not new:
            return
        with self._reporter.bar("scoring with the teacher", len(new)) as advance:
            for start in range(0, len(new), _CHUNK):
                chunk = new[start : start + _CHUNK]
                texts = [
                    (self._collection.queries[query], self._collection.corpus[doc].full_text) for query, doc in chunk
                ]
                logits = self._reranker.score_pairs(texts).logits
                self._logits.update(zip(chunk, map(float, logits), strict=True))
                advance(len(chunk))

    def logits(self, group: Group) -> list[float]:
        """Raw scores of the group's documents, shape (documents,)."""
        return [round(self._logits[group.query_id, doc_id], _DIGITS) for doc_id in group.doc_ids]

    def above(self, group: Group, margin: float) -> list[str]:
        """The retrieved negatives whose probability exceeds `margin` times the positive's.

        Probabilities and not logits: a share of a logit means nothing where it is negative.
        """
        logits = np.array([self._logits[group.query_id, doc_id] for doc_id in group.doc_ids], dtype=np.float32)
        probabilities = self._reranker.manifest.calibrator.probabilities(logits)
        return [
            doc_id
            for doc_id, source, probability in zip(group.doc_ids, group.sources, probabilities, strict=True)
            if source not in _TRUSTED and probability > margin * probabilities[0]
        ]


def mine_with_teacher(
    mine: Callable[[Doubtful], Mined], teacher: CrossEncoderTeacher, margin: float | None, *, relabel: bool
) -> Mined:
    """Mine until no chosen negative is above the teacher's margin; the groups get its logits as teacher scores.

    Args:
        mine: mines, leaving out what is doubtful.
        teacher: scores pairs.
        margin: share of the positive's probability that a negative may have; None lets all pass.
        relabel: keep what is above the margin, with the positive's label, instead of mining again without it.
    """
    doubtful: dict[str, set[str]] = {}
    while True:
        mined = _readable(mine(doubtful), teacher)
        teacher.read(mined.groups)
        found = list(_above(mined.groups, teacher, margin))
        if relabel or not found:
            break
        for query_id, doc_ids in found:
            doubtful.setdefault(query_id, set()).update(doc_ids)
    groups = [replace(group, teacher=teacher.logits(group)) for group in mined.groups]
    if not (relabel and margin is not None):
        return Mined(groups, mined.counts)
    # By query, so that a document is not relevant in one of its groups and a negative in another.
    relevant: dict[str, set[str]] = {}
    for query_id, doc_ids in found:
        relevant.setdefault(query_id, set()).update(doc_ids)
    relabelled = [_relabelled(group, relevant.get(group.query_id, set())) for group in groups]
    count = sum(map(len, relevant.values()))
    return Mined(relabelled, {**mined.counts, "relabelled: above the teacher's margin": count})


def _readable(mined: Mined, teacher: CrossEncoderTeacher) -> Mined:
    """Without the groups whose query fills the teacher by itself."""
    kept = [group for group in mined.groups if teacher.can_read(group.query_id)]
    left_out = len(mined.groups) - len(kept)
    return Mined(
        kept,
        {**mined.counts, "groups left out: query too long for the teacher": left_out} if left_out else mined.counts,
    )


def _above(
    groups: Sequence[Group], teacher: CrossEncoderTeacher, margin: float | None
) -> Iterator[tuple[str, list[str]]]:
    for group in groups if margin is not None else ():
        if doc_ids := teacher.above(group, margin or 0.0):
            yield group.query_id, doc_ids


def _relabelled(group: Group, relevant: set[str]) -> Group:
    label = group.labels[0]
    labels = [label if doc_id in relevant else old for doc_id, old in zip(group.doc_ids, group.labels, strict=True)]
    return replace(group, labels=labels)

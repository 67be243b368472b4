"""A cross-encoder as teacher: candidates that it takes for relevant are no negatives, and its scores are distilled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crossforge.reranker import Reranker
from crossforge_train.collections.collection import Collection
from crossforge_train.mining.groups import Group
from crossforge_train.mining.negatives import Mined, Miner, joined
from crossforge_train.reporting import Reporter

_DIGITS = 4  # written to a file that is to be the same on every run
_CHUNK = 2048
# Judged by a person, or drawn at random: neither was retrieved, so neither is a false negative by retrieval.
_TRUSTED = ("positive", "judged", "random")


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
    miner: Miner, query_ids: Sequence[str], teacher: CrossEncoderTeacher, margin: float | None, *, relabel: bool
) -> Mined:
    """Mine until no chosen negative is above the teacher's margin; the groups get its logits as teacher scores.

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
        above = {query_id: _above(mined[query_id].groups, teacher, margin) for query_id in unsettled}
        if relabel:
            mined = {query_id: _relabelled(found, above[query_id]) for query_id, found in mined.items()}
            break
        for query_id, doc_ids in above.items():
            doubtful[query_id] |= doc_ids
        unsettled = [query_id for query_id in unsettled if above[query_id]]
    whole = joined(mined.values())
    return Mined([replace(group, teacher=teacher.logits(group)) for group in whole.groups], whole.counts)


def _readable(mined: Mined, teacher: CrossEncoderTeacher) -> Mined:
    """Without the groups whose query fills the teacher by itself."""
    kept = [group for group in mined.groups if teacher.can_read(group.query_id)]
    return Mined(kept, replace(mined.counts, unreadable=len(mined.groups) - len(kept)))


def _above(groups: Sequence[Group], teacher: CrossEncoderTeacher, margin: float | None) -> set[str]:
    return {doc_id for group in groups for doc_id in teacher.above(group, margin)} if margin is not None else set()


def _relabelled(mined: Mined, relevant: set[str]) -> Mined:
    """By query, so that a document is not relevant in one of its groups and a negative in another."""
    groups = [_with_labels(group, relevant) for group in mined.groups]
    return Mined(groups, replace(mined.counts, relabelled=len(relevant)))


def _with_labels(group: Group, relevant: set[str]) -> Group:
    label = group.labels[0]
    labels = [label if doc_id in relevant else old for doc_id, old in zip(group.doc_ids, group.labels, strict=True)]
    return replace(group, labels=labels)

"""Why relevant documents are not at the top, and which unjudged ones at the top look relevant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from crossforge.calibration import Calibrator
from crossforge.documents import Document
from crossforge.runs import Candidate, Run
from crossforge_train.collections.collection import Qrels, positives
from crossforge_train.evaluation.metrics import Rankings
from crossforge_train.evaluation.scoring import ScoredQuery, that_were_read
from crossforge_train.mining.copies import CopyDetector

TOP = 10  # ranks at which a relevant document counts as found
_NEAR_COPY = 0.8
_UNJUDGED_RANKS = 3

# What becomes of a relevant document; `report/causes.py` puts it in words.
Cause = Literal["found", "missed", "too_deep", "near_copy", "cut", "outranked"]
FOUND: Cause = "found"
MISSED: Cause = "missed"
TOO_DEEP: Cause = "too_deep"
NEAR_COPY: Cause = "near_copy"
CUT: Cause = "cut"
OUTRANKED: Cause = "outranked"
CAUSES = (FOUND, MISSED, TOO_DEEP, NEAR_COPY, CUT, OUTRANKED)

# (query id, document id) -> the best logit of all its passages
ReadInFull = Callable[[str, str], float]


@dataclass(frozen=True)
class Lost:
    """A relevant document that is not among the first ten.

    Attributes:
        query_id: the query.
        doc_id: the document.
        cause: the first of `CAUSES` that holds.
        first_stage_rank: from 1; None if the first stage did not retrieve it.
        rank: in the order that ships, from 1; None likewise.
        behind: the near-copy that outranks it, if that is the cause.
    """

    query_id: str
    doc_id: str
    cause: Cause
    first_stage_rank: int | None
    rank: int | None
    behind: str | None = None


@dataclass(frozen=True)
class Unjudged:
    """A document without a judgement that the reranker considers relevant."""

    query_id: str
    doc_id: str
    rank: int
    probability: float


@dataclass(frozen=True)
class Diagnosis:
    """What became of the relevant documents.

    Attributes:
        causes: relevant documents by cause, in the order of `CAUSES`.
        lost: those that are not among the first ten.
        unjudged: likely unjudged positives, the most probable first.
    """

    causes: Mapping[Cause, int]
    lost: Sequence[Lost]
    unjudged: Sequence[Unjudged]


@dataclass(frozen=True)
class Subject:
    """The reranker that is diagnosed.

    Attributes:
        scored: its candidates and scores by query.
        rankings: the order that ships.
        fusion_weight: share of the first stage in it.
        calibrator: logit to probability.
        threshold: probability at which a document looks relevant; 0.5 if None.
        read_in_full: rescores a document that was cut, by all of its passages.
    """

    scored: Mapping[str, ScoredQuery]
    rankings: Rankings
    fusion_weight: float
    calibrator: Calibrator
    threshold: float | None
    read_in_full: ReadInFull


def diagnose(subject: Subject, run: Run, qrels: Qrels, corpus: Mapping[str, Document]) -> Diagnosis:
    """Find where each relevant document is lost, and list the unjudged documents that look relevant.

    Args:
        subject: the reranker, with scores for the measured queries.
        run: what the first stage retrieved.
        qrels: judgements of the measured queries.
        corpus: texts, for near-copies.
    """
    copies = CopyDetector(corpus, _NEAR_COPY)
    followed = [
        _follow(subject, query_id, doc_id, run.get(query_id, []), qrels[query_id], copies)
        for query_id in subject.scored
        for doc_id in positives(qrels[query_id])
    ]
    counts = Counter(found.cause for found in followed)
    return Diagnosis(
        {cause: counts[cause] for cause in CAUSES},
        [found for found in followed if found.cause != FOUND],
        sorted(_likely_positives(subject, qrels), key=lambda found: (-found.probability, found.query_id, found.rank)),
    )


def _follow(
    subject: Subject,
    query_id: str,
    doc_id: str,
    candidates: Sequence[Candidate],
    judgements: Mapping[str, int],
    copies: CopyDetector,
) -> Lost:
    ranking = subject.rankings[query_id]
    before = _rank(doc_id, [candidate.doc_id for candidate in candidates])
    rank = _rank(doc_id, ranking)
    behind: str | None = None
    cause: Cause
    if rank is not None and rank <= TOP:
        cause = FOUND
    elif before is None or rank is None:
        cause = MISSED
    elif doc_id not in subject.scored[query_id].doc_ids:
        cause = TOO_DEEP
    else:
        ahead = [other for other in ranking[: rank - 1] if judgements.get(other, 0) <= 0]
        behind = next((other for other in ahead if copies.is_copy(other, [doc_id])), None)
        cause = NEAR_COPY if behind else CUT if _cut_decides(subject, query_id, doc_id) else OUTRANKED
    return Lost(query_id, doc_id, cause, before, rank, behind)


def _rank(doc_id: str, order: Sequence[str]) -> int | None:
    return order.index(doc_id) + 1 if doc_id in order else None


def _cut_decides(subject: Subject, query_id: str, doc_id: str) -> bool:
    """Whether the document would be among the first ten if it were read in full, all else being equal."""
    found = subject.scored[query_id]
    position = list(found.doc_ids).index(doc_id)
    if not (found.read and found.cut[position]):  # of a query that leaves no room, more would not be read
        return False
    logits = found.logits.copy()
    logits[position] = max(logits[position], subject.read_in_full(query_id, doc_id))
    order = replace(found, logits=logits).ranking(subject.fusion_weight)
    return order.index(doc_id) < TOP


def _likely_positives(subject: Subject, qrels: Qrels) -> Iterator[Unjudged]:
    threshold = 0.5 if subject.threshold is None else subject.threshold
    for query_id, found in that_were_read(subject.scored).items():
        probabilities = dict(zip(found.doc_ids, subject.calibrator.probabilities(found.logits), strict=True))
        for rank, doc_id in enumerate(subject.rankings[query_id][:_UNJUDGED_RANKS], start=1):
            if doc_id not in qrels[query_id] and probabilities.get(doc_id, 0.0) >= threshold:
                yield Unjudged(query_id, doc_id, rank, float(probabilities[doc_id]))

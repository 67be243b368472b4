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
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.metrics import Rankings
from crossforge_train.evaluation.scoring import ScoredQuery, that_were_read
from crossforge_train.mining.copies import CopyDetector
from crossforge_train.reporting import Reporter

TOP = 10  # ranks at which a relevant document counts as found
_NEAR_COPY = 0.8
_UNJUDGED_RANKS = 3
_MOST_READ = 200  # documents that are read in full, in several passages each

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
        not_read: how many of those that count as outranked were cut, and too many to be read in full.
    """

    causes: Mapping[Cause, int]
    lost: Sequence[Lost]
    unjudged: Sequence[Unjudged]
    not_read: int = 0


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


def diagnose(
    subject: Subject, run: Run, qrels: Qrels, corpus: Mapping[str, Document], seed: int, reporter: Reporter
) -> Diagnosis:
    """Find where each relevant document is lost, and list the unjudged documents that look relevant.

    Args:
        subject: the reranker, with scores for the measured queries.
        run: what the first stage retrieved.
        qrels: judgements of the measured queries.
        corpus: texts, for near-copies.
        seed: of the draw of documents that are read in full, if they are too many.
        reporter: shows how many of them have been read.
    """
    copies = CopyDetector(corpus, _NEAR_COPY)
    followed = [
        _follow(subject, query_id, doc_id, run.get(query_id, []), qrels[query_id], copies)
        for query_id in subject.scored
        for doc_id in positives(qrels[query_id])
    ]
    cut = [found for found in followed if found.cause == CUT]
    read = _read_in_full(subject, cut, seed, reporter)
    followed = [read.get((found.query_id, found.doc_id), _unread(found)) for found in followed]
    counts = Counter(found.cause for found in followed)
    return Diagnosis(
        {cause: counts[cause] for cause in CAUSES},
        [found for found in followed if found.cause != FOUND],
        sorted(_likely_positives(subject, qrels), key=lambda found: (-found.probability, found.query_id, found.rank)),
        len(cut) - len(read),
    )


def _follow(
    subject: Subject,
    query_id: str,
    doc_id: str,
    candidates: Sequence[Candidate],
    judgements: Mapping[str, int],
    copies: CopyDetector,
) -> Lost:
    """What became of one relevant document; `CUT` if reading it in full has yet to show whether that is the cause."""
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
        cause = NEAR_COPY if behind else CUT if _is_cut(subject, query_id, doc_id) else OUTRANKED
    return Lost(query_id, doc_id, cause, before, rank, behind)


def _rank(doc_id: str, order: Sequence[str]) -> int | None:
    return order.index(doc_id) + 1 if doc_id in order else None


def _is_cut(subject: Subject, query_id: str, doc_id: str) -> bool:
    found = subject.scored[query_id]
    # Of a query that leaves no room, more would not be read.
    return bool(found.read and found.cut[list(found.doc_ids).index(doc_id)])


def _read_in_full(subject: Subject, cut: Sequence[Lost], seed: int, reporter: Reporter) -> dict[tuple[str, str], Lost]:
    """(query id, document id) -> the cause, for those of the cut documents that are read; a seeded draw if too many."""
    if not cut:
        return {}
    by_key = {f"{found.query_id} {found.doc_id}": found for found in cut}
    drawn = seeded_draw(list(by_key), _MOST_READ, seed)
    read = {}
    with reporter.bar("reading what was cut", len(drawn)) as advance:
        for found in map(by_key.__getitem__, drawn):
            decides = _cut_decides(subject, found.query_id, found.doc_id)
            read[found.query_id, found.doc_id] = found if decides else replace(found, cause=OUTRANKED)
            advance()
    return read


def _unread(found: Lost) -> Lost:
    """What is known of a document that was not read in full: nothing shows that the cut is the cause."""
    return replace(found, cause=OUTRANKED) if found.cause == CUT else found


def _cut_decides(subject: Subject, query_id: str, doc_id: str) -> bool:
    """Whether the document would be among the first ten if it were read in full, all else being equal."""
    found = subject.scored[query_id]
    position = list(found.doc_ids).index(doc_id)
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

"""Reranks the queries of a split with the pipeline that apps run, and keeps the scores."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.calibration import descending, fuse
from crossforge.documents import Document
from crossforge.pipeline import RetrieveAndRerank, ScoredPassage
from crossforge.reranker import Scored
from crossforge.runs import Candidate, Run
from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.pair_scoring import Asked, ScorePassages, for_workers
from crossforge_train.reporting import Reporter

# A trained model spreads a query's candidates over several logits, a fresh head over 0.01; below this is no spread.
CONSTANT_SPREAD = 1e-3
_TOGETHER = 16  # queries that a worker is sent at once


@dataclass(frozen=True)
class ScoredQuery:
    """The candidates of one query in first-stage order, each array of shape (candidates,).

    Attributes:
        doc_ids: ids of the candidates.
        first_stage_scores: scores from the first stage.
        logits: logits from the reranker.
        cut: whether the reranker read only part of the document.
        read: False if the query leaves the reranker no room for a document: the logits are 0 and say nothing.
    """

    doc_ids: Sequence[str]
    first_stage_scores: NDArray[np.float64]
    logits: NDArray[np.float32]
    cut: NDArray[np.bool_]
    read: bool = True

    def fused(self, weight: float) -> NDArray[np.floating]:
        """The scores that order the candidates; weight 0 is the reranker alone, 1 the first stage alone."""
        return fuse(self.logits, self.first_stage_scores, weight) if weight else self.logits

    def ranking(self, fusion_weight: float) -> list[str]:
        """Document ids by fused score."""
        return [self.doc_ids[position] for position in descending(self.fused(fusion_weight))]

    def first(self, depth: int) -> ScoredQuery:
        """The first `depth` candidates."""
        kept = slice(depth)
        return ScoredQuery(
            self.doc_ids[kept], self.first_stage_scores[kept], self.logits[kept], self.cut[kept], self.read
        )

    def followed_by(self, deeper: ScoredQuery) -> ScoredQuery:
        """These candidates followed by those at the next ranks."""
        return ScoredQuery(
            [*self.doc_ids, *deeper.doc_ids],
            np.concatenate([self.first_stage_scores, deeper.first_stage_scores]),
            np.concatenate([self.logits, deeper.logits]),
            np.concatenate([self.cut, deeper.cut]),
            self.read,
        )

    def relevant(self, judgements: Mapping[str, int]) -> NDArray[np.bool_]:
        """Whether each candidate is judged relevant; unjudged ones are not."""
        return np.array([judgements.get(doc_id, 0) > 0 for doc_id in self.doc_ids], dtype=bool)


class _Read(NamedTuple):
    """A query, its candidates, and what is read of them: `passages` is None if the query leaves no room for any."""

    query_id: str
    query: str
    candidates: Sequence[Candidate]
    documents: Sequence[Document]
    passages: Sequence[Sequence[str]] | None

    def scored(self, found: Scored, lengths: Sequence[int]) -> ScoredQuery:
        """With the logits of the best passages. A document is cut if its passage is, or is one of several."""
        parts = zip(found.truncated, lengths, self.documents, strict=True)
        cut = [truncated or length < len(document.full_text) for truncated, length, document in parts]
        return self._with(found.logits, cut, read=True)

    def unread(self) -> ScoredQuery:
        """With logits that say nothing."""
        size = len(self.candidates)
        return self._with(np.zeros(size, dtype=np.float32), [True] * size, read=False)

    def _with(self, logits: NDArray[np.float32], cut: Sequence[bool], *, read: bool) -> ScoredQuery:
        return ScoredQuery(
            [candidate.doc_id for candidate in self.candidates],
            np.array([candidate.score for candidate in self.candidates], dtype=np.float64),
            np.array(logits, dtype=np.float32),
            np.array(cut, dtype=bool),
            read,
        )


def score_queries(
    pipeline: RetrieveAndRerank,
    queries: Mapping[str, str],
    run: Run,
    depth: int,
    reporter: Reporter,
    title: str,
    engine: Engine | None = None,
) -> dict[str, ScoredQuery]:
    """Rerank the first `depth` candidates of each query.

    A query that is too long for the model keeps its first-stage order, as in an app; see `ScoredQuery.read`.

    Args:
        pipeline: selects passages and reranks; its own first stage is not used, since `run` holds the candidates.
        queries: query id -> text.
        run: first-stage candidates.
        depth: number of candidates to rerank.
        reporter: shows progress.
        title: title of the progress bar.
        engine: where the reranker works, if queries are many; it must have been loaded from a folder, since workers
            load it again. None is this process.
    """
    together = _TOGETHER
    if engine is None or isinstance(engine, LocalEngine) or len(queries) <= together:
        engine, together = LocalEngine(), 1  # progress is shown query by query
    scored: dict[str, ScoredQuery] = {}
    sent: deque[list[_Read]] = deque()
    with reporter.bar(title, len(queries)) as advance:
        cut = blocks(_compressed(pipeline, queries, run, depth), together)
        make_worker = ScorePassages(for_workers(pipeline.reranker, engine.gpus))
        for found in engine.map(make_worker, _sent(cut, sent)):
            results = iter(found)
            for read in sent.popleft():
                scored[read.query_id] = read.scored(*next(results)) if read.passages is not None else read.unread()
                advance()
    return scored


def _compressed(pipeline: RetrieveAndRerank, queries: Mapping[str, str], run: Run, depth: int) -> Iterator[_Read]:
    for query_id, query in queries.items():
        candidates = run.get(query_id, [])[:depth]
        yield _Read(query_id, query, candidates, *pipeline.compressed(query, candidates))


def _sent(cut: Iterable[list[_Read]], sent: deque[list[_Read]]) -> Iterator[Asked]:
    """What workers score, batch by batch; `sent` is told which queries that is."""
    for several in cut:
        sent.append(several)
        yield [(read.query, read.passages) for read in several if read.passages is not None]


def score_passage_counts(
    pipeline: RetrieveAndRerank,
    queries: Mapping[str, str],
    run: Run,
    depth: int,
    counts: Sequence[int],
    reporter: Reporter,
    title: str,
) -> dict[int, dict[str, ScoredQuery]]:
    """What `score_queries` finds for several numbers of passages, each passage scored once.

    Args:
        pipeline: reads as many passages of a document as the last of `counts`.
        queries: as for `score_queries`.
        run: as for `score_queries`.
        depth: as for `score_queries`.
        counts: numbers of passages, ascending.
        reporter: shows progress.
        title: title of the progress bar.

    Returns:
        Number of passages -> query id -> scored candidates; the first of `counts` alone if no document has more.
    """
    found: dict[int, dict[str, ScoredQuery]] = {count: {} for count in counts}
    most = 1
    with reporter.bar(title, len(queries)) as advance:
        for query_id, query in queries.items():
            candidates = run.get(query_id, [])[:depth]
            results = pipeline.passage_scores(query, candidates)
            most = max([most, *(len(passages) for passages in results or ())])
            for count in counts:
                found[count][query_id] = _scored_by_best(candidates, results, count)
            advance()
    return found if most > counts[0] else {counts[0]: found[counts[0]]}


def _scored_by_best(
    candidates: Sequence[Candidate], passages: Sequence[Sequence[ScoredPassage]] | None, count: int
) -> ScoredQuery:
    """Each candidate by the best of its first passages; None if the query leaves the reranker no room."""
    # The first of equally good ones, as the runtime does.
    best = [max(texts[:count], key=lambda found: found.logit) for texts in passages or ()]
    return ScoredQuery(
        [candidate.doc_id for candidate in candidates],
        np.array([candidate.score for candidate in candidates], dtype=np.float64),
        np.array([found.logit for found in best] if best else np.zeros(len(candidates)), dtype=np.float32),
        np.array([found.cut for found in best] if best else np.ones(len(candidates)), dtype=bool),
        passages is not None,
    )


def rankings(scored: Mapping[str, ScoredQuery], run: Run, fusion_weight: float) -> dict[str, list[str]]:
    """Rankings of all queries; candidates below the rerank depth follow in their first-stage order."""
    return {
        query_id: found.ranking(fusion_weight)
        + [candidate.doc_id for candidate in run.get(query_id, [])[len(found.doc_ids) :]]
        for query_id, found in scored.items()
    }


def that_were_read(scored: Mapping[str, ScoredQuery]) -> dict[str, ScoredQuery]:
    """The queries whose logits say something."""
    return {query_id: found for query_id, found in scored.items() if found.read}


def spread_of_scores(scored: Mapping[str, ScoredQuery]) -> float:
    """Standard deviation of a query's logits, averaged over queries; 0 means that the model ranks nothing."""
    spreads = [float(found.logits.std()) for found in that_were_read(scored).values() if len(found.logits) > 1]
    return float(np.mean(spreads)) if spreads else 0.0


def cut_share(scored: Mapping[str, ScoredQuery]) -> float:
    """Share of all candidates that the reranker read only in part."""
    cut = [found.cut for found in scored.values() if len(found.cut)]
    return float(np.mean(np.concatenate(cut))) if cut else 0.0

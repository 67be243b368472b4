"""Measures one test split and reports everything about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from crossforge.calibration import Calibrator
from crossforge.passages import PassageWindows
from crossforge.pipeline import RetrieveAndRerank
from crossforge.retrievers.base import CombinedRetriever
from crossforge_train.collections.collection import judges, mostly_judged_by_people
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.calibration import Reliability, measure_reliability
from crossforge_train.evaluation.curves import (
    DepthCurve,
    LatencyPoint,
    depth_curve,
    median_milliseconds,
    perfect_rankings,
)
from crossforge_train.evaluation.diagnostics import Diagnosis, ReadInFull, Subject, diagnose
from crossforge_train.evaluation.examples import Example, Origins, best_and_worst
from crossforge_train.evaluation.metrics import PerQuery, mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, score_queries, that_were_read
from crossforge_train.evaluation.systems import (
    FIRST_STAGE,
    PERFECT,
    RERANKER,
    SHIPPED,
    Bench,
    RerankerSystem,
    System,
    without_own_documents,
)
from crossforge_train.evaluation.threshold import ThresholdResult, measure_threshold
from crossforge_train.evaluation.verdict import (
    Comparison,
    Contest,
    SystemResult,
    Verdict,
    compare_systems,
    overall_verdict,
    system_results,
)

# Passages read of a very long document to see whether reading on would have helped.
_PASSAGES_IN_FULL = 16


@dataclass(frozen=True)
class Details:
    """Analysis of one reranker's scores.

    Attributes:
        depth_curve: quality by rerank depth.
        latency: quality by latency.
        reliability: calibration of the probabilities.
        threshold: quality of the "nothing relevant here" decisions; None if there is no threshold.
        diagnosis: what became of the relevant documents.
    """

    depth_curve: DepthCurve
    latency: Sequence[LatencyPoint]
    reliability: Reliability
    threshold: ThresholdResult | None
    diagnosis: Diagnosis


@dataclass(frozen=True)
class SplitReport:
    """One test split.

    Attributes:
        split: name of the split.
        queries: number of measured queries.
        left_out: number of queries left out because they have no relevant document.
        retrieved_nothing: number of measured queries for which the first stage found nothing.
        systems: all systems, the baseline first.
        comparisons: compared pairs of systems, the decisive ones first.
        verdict: verdict over the decisive comparisons.
        ceiling: all measures for a perfect reranker of the same candidates.
        subject: the system that the remaining fields describe.
        baseline: the system it is compared with.
        gains: per-query change in the metric, ascending.
        best: examples of queries that gained.
        worst: examples of queries that lost.
        details: analysis of the subject's scores; None if it has no scores.
        pseudo: whether people did not ask and judge most of the measured queries.
        judges: who says what is relevant to the measured queries -> how many of them.
        own_documents: number of measured queries whose own document is left out of their candidates.
        unread: number of measured queries that leave the subject no room for a document and keep the first stage's
            order.
    """

    split: str
    queries: int
    left_out: int
    retrieved_nothing: int
    systems: Sequence[SystemResult]
    comparisons: Sequence[Comparison]
    verdict: Verdict
    ceiling: Mapping[str, float]
    subject: str
    baseline: str
    gains: Sequence[float]
    best: Sequence[Example]
    worst: Sequence[Example]
    details: Details | None
    pseudo: bool = False
    own_documents: int = 0
    unread: int = 0
    judges: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A split's report and the data behind it: the systems, and per system its values by measure and query."""

    report: SplitReport
    systems: Sequence[System]
    values: Mapping[str, PerQuery]


def _origins(bench: Bench, query: str) -> Origins:
    """Which part of a combined first stage found each candidate."""
    retriever = bench.retriever
    return retriever.origins(query, bench.depth) if isinstance(retriever, CombinedRetriever) else {}


def measure_split(
    bench: Bench, systems: Sequence[System], contest: Contest, calibrator: Calibrator, threshold: float | None
) -> Measured:
    """Measure and compare the systems; the first decisive pair names the subject and baseline of the details.

    Args:
        bench: the bench to measure on.
        systems: all systems, with distinct names.
        contest: which systems are compared.
        calibrator: the subject's calibrator.
        threshold: the subject's threshold.
    """
    config = bench.config
    systems = [without_own_documents(bench, system) for system in systems]
    values = {system.name: measure_rankings(config.measures, bench.qrels, system.rankings) for system in systems}
    comparisons = compare_systems(values, contest, config, bench.seed)
    by_name = {system.name: system for system in systems}
    subject, baseline = (by_name[name] for name in contest.decisive[0])
    before, after = (values[system.name][config.metric] for system in (baseline, subject))
    gains = {query_id: after[query_id] - before[query_id] for query_id in before}
    best, worst = best_and_worst(
        gains, baseline.rankings, subject.rankings, bench.collection, bench.qrels, partial(_origins, bench)
    )
    perfect = measure_rankings(config.measures, bench.qrels, perfect_rankings(bench.run, bench.qrels, bench.depth))
    report = SplitReport(
        split=bench.split,
        queries=len(bench.queries),
        left_out=bench.left_out,
        retrieved_nothing=sum(not candidates for candidates in bench.run.values()),
        systems=system_results(values, config, bench.seed),
        comparisons=comparisons,
        verdict=overall_verdict(found.verdict for found in comparisons if found.decisive),
        ceiling={measure: mean(found) for measure, found in perfect.items()},
        subject=subject.name,
        baseline=baseline.name,
        gains=sorted(gains.values()),
        best=best,
        worst=worst,
        details=_details(bench, systems, values, subject, calibrator, threshold),
        pseudo=not mostly_judged_by_people(bench.measured, bench.split),
        judges=judges(bench.measured, bench.split),
        own_documents=sum(query_id in (bench.collection.own_documents or {}) for query_id in bench.queries),
        unread=sum(not found.read for found in subject.scored.values()) if isinstance(subject, RerankerSystem) else 0,
    )
    return Measured(report, systems, values)


def _details(
    bench: Bench,
    systems: Sequence[System],
    values: Mapping[str, PerQuery],
    subject: System,
    calibrator: Calibrator,
    threshold: float | None,
) -> Details | None:
    if not isinstance(subject, RerankerSystem):
        return None
    depths, read = _curve_depths(bench), that_were_read(subject.scored)
    scored = subject.scored if depths[-1] <= bench.depth else _scored_deeper(bench, subject, depths[-1])
    curve, metric = _depth_curve(bench, subject, scored, depths), bench.config.metric
    # Over the curve's queries, because the systems are drawn in one plot with it.
    qualities = {
        name: mean({query_id: found[metric][query_id] for query_id in scored}) for name, found in values.items()
    }
    return Details(
        depth_curve=curve,
        latency=_latency(bench, systems, qualities, subject, curve),
        reliability=measure_reliability(read, bench.qrels, calibrator),
        threshold=None if threshold is None else measure_threshold(read, bench.qrels, calibrator, threshold),
        diagnosis=diagnose(
            Subject(
                subject.scored, subject.rankings, subject.fusion_weight, calibrator, threshold, _reader(bench, subject)
            ),
            bench.run,
            bench.qrels,
            bench.collection.corpus,
            bench.seed,
            bench.reporter,
        ),
    )


def _reader(bench: Bench, subject: RerankerSystem) -> ReadInFull:
    reranker = subject.pipeline.reranker
    windows = PassageWindows(reranker.tokenizer)

    def best_logit(query_id: str, doc_id: str) -> float:
        query = bench.queries[query_id]
        texts = windows.split(query, bench.collection.corpus[doc_id], _PASSAGES_IN_FULL)
        return float(reranker.score_pairs([(query, text) for text in texts]).logits.max())

    return best_logit


def _curve_depths(bench: Bench) -> list[int]:
    """The depths of the curve: no deeper than anything was retrieved, and the rerank depth among them."""
    config = bench.config
    retrieved = max((len(candidates) for candidates in bench.run.values()), default=0)
    deepest = max(retrieved, 1) if config.deep_queries else bench.depth
    return sorted({min(depth, deepest) for depth in (*config.depths, bench.depth)})


def _depth_curve(
    bench: Bench, subject: RerankerSystem, scored: Mapping[str, ScoredQuery], depths: Sequence[int]
) -> DepthCurve:
    """The curve over all queries, or over the sample of them that was scored deeper than the rerank depth."""
    weights = {FIRST_STAGE: 1.0, _alone(subject): 0.0}
    if subject.fusion_weight:
        weights[subject.name] = subject.fusion_weight
    return depth_curve(scored, bench.run, bench.qrels, weights, depths, bench.config.metric, PERFECT)


def _alone(subject: RerankerSystem) -> str:
    """The curve's name for the subject without fusion."""
    return RERANKER if subject.name == SHIPPED else f"{subject.name} alone"


def _scored_deeper(bench: Bench, subject: RerankerSystem, depth: int) -> dict[str, ScoredQuery]:
    reranked = bench.depth
    drawn = seeded_draw(list(subject.scored), bench.config.deep_queries, bench.seed)
    below = {query_id: bench.run[query_id][reranked:] for query_id in drawn}
    queries = {query_id: bench.queries[query_id] for query_id in drawn}
    deeper = score_queries(
        subject.pipeline, queries, below, depth - reranked, bench.reporter, f"reranking {bench.split} deeper"
    )
    return {query_id: subject.scored[query_id].followed_by(deeper[query_id]) for query_id in drawn}


def _latency(
    bench: Bench, systems: Sequence[System], qualities: Mapping[str, float], subject: RerankerSystem, curve: DepthCurve
) -> list[LatencyPoint]:
    config, rivals_depth = bench.config, bench.of_rivals.depth
    query_ids = seeded_draw(list(bench.queries), config.latency_queries, bench.seed) if config.latency_queries else []
    if not query_ids:
        return []
    by_text = {bench.queries[query_id]: query_id for query_id in query_ids}

    def milliseconds(pipeline: RetrieveAndRerank | None, depth: int) -> float:
        def answer(query: str) -> None:
            bench.retriever.search({by_text[query]: query}, depth)
            if pipeline is not None:
                pipeline.rerank(query, bench.run[by_text[query]][:depth])

        return median_milliseconds(answer, by_text)

    others = {
        system.name: system.pipeline
        for system in systems
        if isinstance(system, RerankerSystem) and system.pipeline is not subject.pipeline
    }
    points = [LatencyPoint(FIRST_STAGE, 0, milliseconds(None, bench.depth), curve.values[FIRST_STAGE][0])]
    shown = curve.values[subject.name if subject.fusion_weight else _alone(subject)]
    with bench.reporter.bar(f"timing {bench.split}", len(curve.depths) + len(others)) as advance:
        for depth, value in zip(curve.depths, shown, strict=True):
            points.append(LatencyPoint(subject.name, depth, milliseconds(subject.pipeline, depth), value))
            advance()
        for name, pipeline in others.items():
            took = milliseconds(pipeline, rivals_depth)
            points.append(LatencyPoint(name, rivals_depth, took, qualities[name]))
            advance()
    return points

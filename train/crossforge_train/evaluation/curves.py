"""Quality as a function of rerank depth and of latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossforge.runs import Run
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.metrics import ideal_order, mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings

_ENOUGH_QUERIES, _ENOUGH_MILLISECONDS = 3, 20_000


@dataclass(frozen=True)
class DepthCurve:
    """The mean metric by the number of reranked candidates.

    Attributes:
        queries: number of queries averaged over.
        depths: rerank depths, ascending.
        values: mean metric by system, each of shape (depths,).
    """

    queries: int
    depths: Sequence[int]
    values: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class LatencyPoint:
    """Latency and quality of one system at one depth.

    Attributes:
        system: the timed system.
        depth: number of reranked candidates.
        milliseconds: median time per query, one query at a time, retrieval included.
        quality: mean metric.
    """

    system: str
    depth: int
    milliseconds: float
    quality: float


def depth_curve(
    scored: Mapping[str, ScoredQuery],
    run: Run,
    qrels: Qrels,
    weights: Mapping[str, float],
    depths: Sequence[int],
    metric: str,
    ceiling: str,
) -> DepthCurve:
    """Measure reranking at several depths, from candidates scored once.

    Args:
        scored: scored candidates down to the largest depth.
        run: first-stage candidates; those below a depth keep their order.
        qrels: judgements.
        weights: fusion weight by system.
        depths: rerank depths.
        metric: measure to compute.
        ceiling: name of the perfect reranker in the result.
    """
    judged = {query_id: qrels[query_id] for query_id in scored}

    def quality(found: Mapping[str, Sequence[str]]) -> float:
        return mean(measure_rankings([metric], judged, found)[metric])

    values: dict[str, list[float]] = {name: [] for name in (*weights, ceiling)}
    for depth in depths:
        kept = {query_id: found.first(depth) for query_id, found in scored.items()}
        for name, weight in weights.items():
            values[name].append(quality(rankings(kept, run, weight)))
        values[ceiling].append(quality(perfect_rankings(run, judged, depth)))
    return DepthCurve(len(scored), list(depths), values)


def perfect_rankings(run: Run, qrels: Qrels, depth: int) -> dict[str, list[str]]:
    """The ceiling: the first `depth` candidates of each query in the order of a perfect reranker."""
    found = {}
    for query_id, judgements in qrels.items():
        doc_ids = [candidate.doc_id for candidate in run.get(query_id, [])]
        found[query_id] = ideal_order(judgements, doc_ids[:depth]) + doc_ids[depth:]
    return found


def median_milliseconds(answer: Callable[[str], object], queries: Iterable[str]) -> float:
    """Median time in milliseconds of `answer` per query, after one warm-up call with the first query.

    Where queries take long, three of them are enough: no more are begun after 20 seconds.
    """
    found = list(queries)
    answer(found[0])
    times: list[float] = []
    for query in found:
        if len(times) >= _ENOUGH_QUERIES and sum(times) > _ENOUGH_MILLISECONDS:
            break
        started = time.perf_counter()
        answer(query)
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times))

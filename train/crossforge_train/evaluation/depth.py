"""Chooses on dev how many candidates are worth reranking."""

from __future__ import annotations

from collections.abc import Mapping

from crossforge.runs import Run
from crossforge_train.collections.collection import Qrels, mostly_judged_by_people
from crossforge_train.evaluation.combination import LEAST_QUERIES
from crossforge_train.evaluation.curves import perfect_rankings
from crossforge_train.evaluation.fusion_weight import choose_fusion_weight
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings
from crossforge_train.evaluation.systems import Bench

DEPTHS = (20, 30, 50, 75, 100, 150, 200)
# What more candidates must add to the mean of a perfect reranker to be worth their time.
_GAIN = 0.005
# What slower ways to rank must gain on dev, as they would ship: what dev cannot tell apart is not worth waiting for.
SHIPPED_GAIN = 0.002


def choose_depth(run: Run, qrels: Qrels, metric: str) -> int:
    """The smallest depth beyond which a perfect reranker gains less than 0.005.

    Args:
        run: candidates of the dev queries, down to the largest depth that may be chosen.
        qrels: judgements of the dev queries.
        metric: the deciding measure.
    """
    judged = {query_id: found for query_id, found in judged_queries(qrels).items() if query_id in run}
    deepest = max((len(run[query_id]) for query_id in judged), default=0)
    depths = [depth for depth in DEPTHS if depth < deepest] + [min(max(deepest, DEPTHS[0]), DEPTHS[-1])]
    ceilings = {depth: _ceiling(run, judged, depth, metric) for depth in depths}
    return next(depth for depth in ceilings if ceilings[depths[-1]] - ceilings[depth] < _GAIN)


def depth_that_suffices(dev: Bench, scored: Mapping[str, ScoredQuery]) -> int:
    """The smallest depth whose mean on dev, as it would ship, is within .002 of the best depth's.

    Every candidate costs time, and deep ones can cost quality, since few rerankers have learned to tell them apart. Dev
    of pseudo-queries, or of fewer than twenty, cannot tell: the bench's depth stays.

    Args:
        dev: the dev split, at the largest depth that may be chosen.
        scored: its candidates down to there.

    Source: M. Jacob et al., "Drowning in documents: consequences of scaling reranker inference", 2024.
    """
    if len(dev.queries) < LEAST_QUERIES or not mostly_judged_by_people(dev.collection, dev.split):
        return dev.depth
    depths = [depth for depth in DEPTHS if depth < dev.depth] + [dev.depth]
    means = [mean(values_as_shipped(dev, first_of(scored, depth))) for depth in depths]
    return next(depth for depth, found in zip(depths, means, strict=True) if found >= max(means) - SHIPPED_GAIN)


def values_as_shipped(bench: Bench, scored: Mapping[str, ScoredQuery]) -> dict[str, float]:
    """The deciding measure of each query as it would ship, with a fusion weight that these queries choose."""
    metric, qrels = bench.config.metric, bench.qrels
    weight = choose_fusion_weight(
        scored, bench.run, qrels, metric, bench.seed, pseudo=bench.flatters, cautious=bench.doubtful
    )
    return measure_rankings([metric], qrels, rankings(scored, bench.run, weight))[metric]


def first_of(scored: Mapping[str, ScoredQuery], depth: int) -> dict[str, ScoredQuery]:
    """The first `depth` candidates of each query."""
    return {query_id: one.first(depth) for query_id, one in scored.items()}


def _ceiling(run: Run, judged: Qrels, depth: int, metric: str) -> float:
    kept = {query_id: list(run[query_id][:depth]) for query_id in judged}
    return mean(measure_rankings([metric], judged, perfect_rankings(kept, judged, depth))[metric])

"""Chooses on dev how many candidates are worth reranking."""

from __future__ import annotations

from crossforge.runs import Run
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.curves import perfect_rankings
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings

DEPTHS = (20, 30, 50, 75, 100, 150, 200)
# What more candidates must add to the mean of a perfect reranker to be worth their time.
_GAIN = 0.005


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


def _ceiling(run: Run, judged: Qrels, depth: int, metric: str) -> float:
    kept = {query_id: list(run[query_id][:depth]) for query_id in judged}
    return mean(measure_rankings([metric], judged, perfect_rankings(kept, judged, depth))[metric])

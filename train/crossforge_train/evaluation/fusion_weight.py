"""Chooses the first stage's share in the shipped order, on dev."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from crossforge.runs import Run
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.metrics import judged_queries, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings

FUSION_WEIGHTS = tuple(round(step / 20, 2) for step in range(21))
_RESAMPLES = 500


def choose_fusion_weight(
    scored: Mapping[str, ScoredQuery], run: Run, qrels: Qrels, metric: str, seed: int, *, pseudo: bool = False
) -> float:
    """The best weight, averaged over resamples of the queries (bagging); 0 is the reranker alone, 1 the first stage.

    With few queries, the single best weight depends on two or three of them. The mean over resamples does not, and is
    just as good with many queries (docs/results.md has the comparison).

    Args:
        scored: candidates scored by the reranker.
        run: first-stage candidates.
        qrels: judgements of the same queries.
        metric: measure to maximise.
        seed: seed of the resampling.
        pseudo: whether pseudo-queries are asked of a lexical first stage. Their wording follows the documents, which
            flatters it; so half of the best weight is used, or the smallest larger one that keeps up with it.

    Source: L. Breiman, "Bagging predictors", Machine Learning 1996.
    """
    judged = {query_id: found for query_id, found in judged_queries(qrels).items() if query_id in scored}
    if not judged:
        return 0.0

    def by_query(weight: float) -> list[float]:
        found = measure_rankings([metric], judged, rankings(scored, run, weight))[metric]
        return [found[query_id] for query_id in judged]

    return best_over_resamples(np.array([by_query(weight) for weight in FUSION_WEIGHTS]), seed, pseudo=pseudo)


def best_over_resamples(values: NDArray[np.float64], seed: int, *, pseudo: bool = False) -> float:
    """The best weight on each resample of the queries, averaged over resamples.

    Args:
        values: metric values of shape (weights, queries), in the order of `FUSION_WEIGHTS`.
        seed: seed of the resampling.
        pseudo: see `choose_fusion_weight`.
    """
    drawn = _resamples(values.shape[1], seed)
    # Rounded so that the smallest of equally good weights wins, whatever the order of summation.
    means = values[:, drawn].mean(axis=2).round(6)
    weights = np.array(FUSION_WEIGHTS)
    chosen = weights[means.argmax(axis=0)]
    if pseudo:
        keeping_up = weights[(means >= means[-1]).argmax(axis=0)]
        chosen = np.maximum(chosen / 2, keeping_up)
    return round(float(chosen.mean()), 2)


def resamples_won(values: NDArray[np.float64], over: NDArray[np.float64], seed: int) -> float:
    """The share of resamples of the queries on which one way to order them has a higher mean than another.

    Args:
        values: metric values of shape (queries,).
        over: those of the other, for the same queries.
        seed: seed of the resampling.
    """
    gains = (values - over)[_resamples(len(values), seed)].mean(axis=1).round(6)
    return float((gains > 0).mean())


def _resamples(queries: int, seed: int) -> NDArray[np.int64]:
    """Positions of the queries that are drawn, shape (resamples, queries)."""
    return np.random.default_rng(seed).integers(0, queries, size=(_RESAMPLES, queries))

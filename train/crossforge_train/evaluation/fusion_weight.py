"""Chooses the first stage's share in the shipped order, on dev."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from crossforge.retrievers.registry import LEXICAL
from crossforge.runs import Run
from crossforge_train.collections.collection import Collection, Qrels, mostly_judged_by_people
from crossforge_train.evaluation.metrics import Rankings, judged_queries, measure_rankings
from crossforge_train.evaluation.resampling import means_over_resamples
from crossforge_train.evaluation.scoring import ScoredQuery, rankings

FUSION_WEIGHTS = tuple(round(step / 20, 2) for step in range(21))


def flatters(kind: str, collection: Collection, split: str) -> bool:
    """Whether a split flatters its first stage: pseudo-queries, worded as the documents, are asked of a lexical one."""
    return kind == LEXICAL and not mostly_judged_by_people(collection, split)


def doubtful(kind: str) -> bool:
    """Whether a gain over the first stage is doubtful until proven: only one of words is known to be weak."""
    return kind != LEXICAL


def choose_fusion_weight(
    scored: Mapping[str, ScoredQuery],
    run: Run,
    qrels: Qrels,
    metric: str,
    seed: int,
    *,
    pseudo: bool = False,
    cautious: bool = False,
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
        cautious: whether a gain over the first stage counts only for what exceeds one standard error of it. A reranker
            that a few queries cannot tell from the first stage then changes little of its order.

    Source: L. Breiman, "Bagging predictors", Machine Learning 1996.
    """
    judged = {query_id: found for query_id, found in judged_queries(qrels).items() if query_id in scored}
    if not judged:
        return 0.0
    values = values_by_weight(metric, judged, lambda weight: rankings(scored, run, weight))
    if cautious:
        values = less_their_errors(values)
    return best_over_resamples(values, seed, pseudo=pseudo)


def values_by_weight(metric: str, judged: Qrels, order: Callable[[float], Rankings]) -> NDArray[np.float64]:
    """The metric of each query with each of `FUSION_WEIGHTS`, shape (weights, queries).

    Args:
        metric: measure to take.
        judged: the queries' judgements.
        order: weight -> rankings of at least these queries.
    """

    def by_query(weight: float) -> list[float]:
        found = measure_rankings([metric], judged, order(weight))[metric]
        return [found[query_id] for query_id in judged]

    return np.array([by_query(weight) for weight in FUSION_WEIGHTS])


def best_over_resamples(values: NDArray[np.float64], seed: int, *, pseudo: bool = False) -> float:
    """The best weight on each resample of the queries, averaged over resamples.

    Args:
        values: metric values of shape (weights, queries), in the order of `FUSION_WEIGHTS`.
        seed: seed of the resampling.
        pseudo: see `choose_fusion_weight`.
    """
    means, weights = means_over_resamples(values, seed), np.array(FUSION_WEIGHTS)
    chosen = weights[means.argmax(axis=0)]  # the smallest of equally good ones
    if pseudo:
        keeping_up = weights[(means >= means[-1]).argmax(axis=0)]
        chosen = np.maximum(chosen / 2, keeping_up)
    return round(float(chosen.mean()), 2)


def less_their_errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metric values, each less one standard error of its weight's mean gain over the first stage.

    Args:
        values: as for `best_over_resamples`; those of a single query, whose error is unknown, stay as they are.
    """
    if values.shape[1] < 2:
        return values
    gains = values - values[-1]
    return np.asarray(values - gains.std(axis=1, ddof=1, keepdims=True) / values.shape[1] ** 0.5)

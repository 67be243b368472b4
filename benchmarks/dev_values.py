"""What a run's reranker is worth on dev, alone and beside its first stage, for the benchmarks that compare runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge import Reranker
from crossforge.pipeline import RetrieveAndRerank
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.fusion_weight import FUSION_WEIGHTS, best_over_resamples, values_by_weight
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.evaluation.scoring import rankings, score_queries
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder

FOLDS = 5


class Gain(NamedTuple):
    """What a mean gains over the first stage, and the standard error of that."""

    mean: float
    gain: float
    error: float


def values_on_dev(
    run: RunFolder, split: str, metric: str, queries: int, depth: int, seed: int, rounds: int = 1
) -> NDArray[np.float64]:
    """The metric for each of `FUSION_WEIGHTS` and each drawn dev query, shape (weights, queries).

    Args:
        run: folder of a run whose reranker is trained.
        split: its dev split.
        metric: measure to take.
        queries: draw so many.
        depth: candidates of each that are reranked.
        seed: of the draw.
        rounds: of its training.
    """
    collection, found = run.collected.collection(), run.mined.run(split)
    judged = judged_queries(collection.qrels(split))
    qrels = {query_id: judged[query_id] for query_id in seeded_draw(sorted(judged), queries, seed)}
    asked = {query_id: collection.queries[query_id] for query_id in qrels}
    first = {query_id: found[query_id][:depth] for query_id in asked}
    reranker = Reranker(run.last_finetuned(rounds).model)
    pipeline = RetrieveAndRerank(collection.corpus, run.mined.retriever(), reranker, depth=depth)
    scored = score_queries(pipeline, asked, first, depth, SilentReporter(), "")
    return values_by_weight(metric, qrels, lambda weight: rankings(scored, first, weight))


def fused(values: NDArray[np.float64], seed: int) -> Gain:
    """Reranker and first stage mixed: each fifth of the queries by the weight that the others choose.

    Args:
        values: as `values_on_dev` returns them.
        seed: of folds and resamples.
    """
    folds = np.random.default_rng(seed).permutation(values.shape[1]) % FOLDS
    weights, mixed = np.array(FUSION_WEIGHTS), np.empty(values.shape[1])
    for fold in range(FOLDS):
        here = folds == fold
        weight = best_over_resamples(values[:, ~here], seed)
        mixed[here] = values[np.abs(weights - weight).argmin(), here]
    gains = mixed - values[-1]
    return Gain(float(mixed.mean()), float(gains.mean()), float(gains.std(ddof=1) / len(gains) ** 0.5))

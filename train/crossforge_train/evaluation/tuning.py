"""What is chosen on dev: fusion weight, calibrator and threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossforge.calibration import Calibrator
from crossforge.runs import Run
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings


@dataclass(frozen=True)
class Tuned:
    """What dev decided.

    Attributes:
        fusion_weight: share of the first stage in the shipped order; 0 is the reranker alone, 1 the first stage alone.
        calibrator: logit to probability.
        threshold: probability from which a document counts as relevant; None where dev holds one class only.
        dev: mean metric on dev by system.
    """

    fusion_weight: float
    calibrator: Calibrator
    threshold: float | None
    dev: Mapping[str, float]


FUSION_WEIGHTS = tuple(round(step / 20, 2) for step in range(21))


def choose_fusion_weight(scored: Mapping[str, ScoredQuery], run: Run, qrels: Qrels, metric: str) -> float:
    """The weight with the best mean metric; of equally good ones the smallest.

    0 (reranker alone) and 1 (first stage alone) are among the choices, so the shipped order is on these queries never
    worse than either.
    """
    judged = {query_id: found for query_id, found in judged_queries(qrels).items() if query_id in scored}

    def quality(weight: float) -> float:
        return mean(measure_rankings([metric], judged, rankings(scored, run, weight))[metric])

    return max(FUSION_WEIGHTS, key=lambda weight: (round(quality(weight), 6), -weight))


def fit_calibrator(scored: Mapping[str, ScoredQuery], qrels: Qrels) -> Calibrator:
    """Platt scaling on the reranked candidates; the identity where only one class is there."""
    from sklearn.linear_model import LogisticRegression

    logits, relevant = _pooled(scored, qrels)
    if len(set(relevant.tolist())) < 2:
        return Calibrator()
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(logits[:, None], relevant)
    return Calibrator(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))


def choose_threshold(scored: Mapping[str, ScoredQuery], qrels: Qrels, calibrator: Calibrator) -> float | None:
    """The probability from which a candidate counts as relevant, by the best F1; None where only one class is there."""
    from sklearn.metrics import precision_recall_curve

    logits, relevant = _pooled(scored, qrels)
    if len(set(relevant.tolist())) < 2:
        return None
    precision, recall, thresholds = precision_recall_curve(relevant, calibrator.probabilities(logits))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def _pooled(scored: Mapping[str, ScoredQuery], qrels: Qrels) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    logits = [found.logits for found in scored.values()]
    relevant = [
        [qrels.get(query_id, {}).get(doc_id, 0) > 0 for doc_id in found.doc_ids] for query_id, found in scored.items()
    ]
    return np.concatenate(logits), np.concatenate([np.array(row, dtype=bool) for row in relevant])

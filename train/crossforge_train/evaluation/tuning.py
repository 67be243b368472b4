"""What is chosen on dev: fusion weight, calibrator and threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
        log_losses: held-out log loss on dev by method of calibration.
        threshold: probability below which the best candidate means "nothing relevant here"; None where dev has no
            relevant candidate.
        dev: mean metric on dev by system.
    """

    fusion_weight: float
    calibrator: Calibrator
    log_losses: Mapping[str, float]
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

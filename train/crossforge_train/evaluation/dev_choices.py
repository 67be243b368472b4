"""What is chosen on dev: fusion weight, calibrator and threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossforge.calibration import Calibrator
from crossforge.reranker import Reranker
from crossforge_train.collections.collection import judged_by_people
from crossforge_train.evaluation.calibration import fit_calibrator
from crossforge_train.evaluation.fusion_weight import choose_fusion_weight
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.systems import (
    RERANKER,
    SHIPPED,
    Bench,
    first_stage_system,
    reranker_system,
    with_fusion,
)
from crossforge_train.evaluation.threshold import choose_threshold


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


def tune(bench: Bench, reranker: Reranker) -> Tuned:
    """Choose on a dev split what ships: fusion weight, calibrator and threshold."""
    metric = bench.config.metric
    alone = reranker_system(bench, RERANKER, reranker, 0.0)
    pseudo = not judged_by_people(bench.collection, bench.split)
    weight = choose_fusion_weight(alone.scored, bench.run, bench.qrels, metric, bench.seed, pseudo=pseudo)
    fitted = fit_calibrator(alone.scored, bench.qrels)
    dev = {
        system.name: mean(measure_rankings([metric], bench.qrels, system.rankings)[metric])
        for system in (first_stage_system(bench), alone, with_fusion(bench, alone, SHIPPED, weight))
    }
    threshold = choose_threshold(alone.scored, bench.qrels, fitted.calibrator)
    return Tuned(weight, fitted.calibrator, fitted.log_losses, threshold, dev)

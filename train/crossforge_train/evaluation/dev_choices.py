"""Chooses fusion weight, calibrator and threshold on dev."""

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
    """Values chosen on dev.

    Attributes:
        fusion_weight: share of the first stage in the shipped order; 0 is the reranker alone, 1 the first stage alone.
        calibrator: maps logits to probabilities.
        log_losses: held-out log loss on dev by calibration method.
        threshold: if the best candidate's probability is below this, nothing relevant was found; None if dev has no
            relevant candidate.
        dev: mean metric on dev by system.
    """

    fusion_weight: float
    calibrator: Calibrator
    log_losses: Mapping[str, float]
    threshold: float | None
    dev: Mapping[str, float]


def tune(bench: Bench, reranker: Reranker) -> Tuned:
    """Choose the fusion weight, calibrator and threshold to ship, on a dev split."""
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

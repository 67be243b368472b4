"""Measures a reranker as it ships against every alternative to it."""

from __future__ import annotations

from collections.abc import Sequence

from crossforge.calibration import Calibrator
from crossforge.reranker import Reranker
from crossforge_train.evaluation.split_report import Measured, measure_split
from crossforge_train.evaluation.systems import (
    FIRST_STAGE,
    INCUMBENT,
    RERANKER,
    SHIPPED,
    WITHOUT_MODEL,
    Bench,
    System,
    first_stage_system,
    reranker_system,
    with_fusion,
)
from crossforge_train.evaluation.verdict import Contest


def measure_shipped(
    bench: Bench,
    reranker: Reranker,
    fusion_weight: float,
    others: Sequence[System],
    calibrator: Calibrator,
    threshold: float | None,
) -> Measured:
    """Measure a reranker alone and as it ships; the verdict is against the first stage and the incumbent, if any.

    Args:
        bench: the bench to measure on.
        reranker: the reranker to measure.
        fusion_weight: share of the first stage in the shipped order.
        others: further systems; the shipped order is also compared with those that need no model.
        calibrator: shipped calibrator.
        threshold: shipped threshold.
    """
    alone = reranker_system(bench, RERANKER, reranker, 0.0)
    systems = [first_stage_system(bench), *others, alone, with_fusion(bench, alone, SHIPPED, fusion_weight)]
    names = [system.name for system in systems]
    decisive = [(SHIPPED, name) for name in (FIRST_STAGE, INCUMBENT) if name in names]
    rivals = [(SHIPPED, name) for name in WITHOUT_MODEL if name in names]
    return measure_split(bench, systems, Contest(FIRST_STAGE, decisive, rivals), calibrator, threshold)

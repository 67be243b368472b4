"""Measures a reranker as it ships against every alternative to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossforge.calibration import Calibrator
from crossforge.reranker import Reranker
from crossforge_train.evaluation.split_report import Measured, measure_split
from crossforge_train.evaluation.systems import (
    FIRST_STAGE,
    INCUMBENT,
    RERANKER,
    SHIPPED,
    Bench,
    System,
    first_stage_system,
    reranker_system,
    with_fusion,
)
from crossforge_train.evaluation.verdict import Contest


@dataclass(frozen=True)
class Shipped:
    """What ships with a reranker.

    Attributes:
        fusion_weight: share of the first stage in the shipped order.
        calibrator: maps logits to probabilities.
        threshold: probability below which nothing relevant was found; None if there is none.
    """

    fusion_weight: float
    calibrator: Calibrator
    threshold: float | None


def measure_shipped(
    bench: Bench,
    reranker: Reranker,
    shipped: Shipped,
    others: Sequence[System],
    best_free: str | None = None,
) -> Measured:
    """Measure a reranker alone and as it ships.

    The verdict is against the first stage, the best free alternative, and the incumbent, if there is one.

    Args:
        bench: the bench to measure on.
        reranker: the reranker to measure.
        shipped: what ships with it.
        others: further systems; the shipped order is compared with each of them.
        best_free: name of the free alternative among them that decides; chosen elsewhere, best on dev.
    """
    systems = systems_of_proof(bench, reranker, shipped.fusion_weight, others)
    names = [system.name for system in systems]
    decisive = [(SHIPPED, name) for name in (FIRST_STAGE, best_free, INCUMBENT) if name in names]
    rivals = [(SHIPPED, system.name) for system in others]
    contest = Contest(FIRST_STAGE, decisive, rivals)
    return measure_split(bench, systems, contest, shipped.calibrator, shipped.threshold)


def systems_of_proof(bench: Bench, reranker: Reranker, fusion_weight: float, others: Sequence[System]) -> list[System]:
    """All systems of a proof on a bench: the first stage, others, the reranker alone and as it ships."""
    alone = reranker_system(bench, RERANKER, reranker, 0.0)
    return [first_stage_system(bench), *others, alone, with_fusion(bench, alone, SHIPPED, fusion_weight)]

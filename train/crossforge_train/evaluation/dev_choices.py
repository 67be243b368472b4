"""Chooses fusion weight, calibrator and threshold on dev."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crossforge.calibration import Calibrator
from crossforge_train.evaluation.calibration import fit_calibrator
from crossforge_train.evaluation.free_alternatives import Free, best_of, bi_encoder_fusion, free_systems
from crossforge_train.evaluation.fusion_weight import choose_fusion_weight
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.scoring import that_were_read
from crossforge_train.evaluation.systems import (
    SHIPPED,
    Bench,
    RerankerSystem,
    System,
    first_stage_system,
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
        dev: mean metric on dev by system, over the queries that the reranker was measured on.
        best_free: the free alternative that did best on dev; None if there is none.
        free_fusion_weight: share of the first stage in the fused order of the base as a bi-encoder; None if it is none.
        free_dev: mean metric by free alternative over more queries of dev, by which the best one was chosen; empty if
            it was chosen by `dev`.
        free_queries: how many queries these are.
    """

    fusion_weight: float
    calibrator: Calibrator
    log_losses: Mapping[str, float]
    threshold: float | None
    dev: Mapping[str, float]
    best_free: str | None = None
    free_fusion_weight: float | None = None
    free_dev: Mapping[str, float] = field(default_factory=dict)
    free_queries: int = 0


class OnDev(NamedTuple):
    """What is chosen on dev, and what it is chosen by.

    Attributes:
        tuned: the chosen values.
        values: system -> query id -> metric.
    """

    tuned: Tuned
    values: Mapping[str, Mapping[str, float]]


def tune(bench: Bench, alone: RerankerSystem, free: Free, others: Sequence[System], chooser: Bench) -> Tuned:
    """Choose what ships on a dev split; see `tuned_with_values`."""
    return tuned_with_values(bench, alone, free, others, chooser).tuned


def tuned_with_values(
    bench: Bench, alone: RerankerSystem, free: Free, others: Sequence[System], chooser: Bench
) -> OnDev:
    """Choose the fusion weight, calibrator and threshold to ship, and the alternative to beat, on a dev split.

    Args:
        bench: the dev split, or those of its queries that there is time to rerank.
        alone: the reranker that ships, without the first stage's score.
        free: the free alternatives.
        others: further systems that need no training, such as the base model as it is.
        chooser: the dev split with more queries, for the choices that rerank nothing; `bench` itself if it has all.
    """
    metric = bench.config.metric
    weight = choose_fusion_weight(
        alone.scored, bench.run, bench.qrels, metric, bench.seed, pseudo=bench.flatters, cautious=bench.doubtful
    )
    read = that_were_read(alone.scored)
    fitted = fit_calibrator(read, bench.qrels, bench.config.calibration)
    judge = bench if free.candidates_alone else chooser
    free_weight = bi_encoder_fusion(judge, free)
    free = free.fused(free_weight)
    rivals = [*free_systems(bench, free), *others]
    systems = (first_stage_system(bench), *rivals, alone, with_fusion(bench, alone, SHIPPED, weight))
    values = _values(bench, systems)
    dev = {name: mean(found) for name, found in values.items()}
    # A reranker among the rivals has scores of the bench's queries alone, and then these choose among all.
    free_values = {} if judge is bench or others else _values(judge, free_systems(judge, free))
    free_dev = {name: mean(found) for name, found in free_values.items()}
    tuned = Tuned(
        fusion_weight=weight,
        calibrator=fitted.calibrator,
        log_losses=fitted.log_losses,
        threshold=choose_threshold(read, bench.qrels, fitted.calibrator),
        dev=dev,
        best_free=best_of(free_dev or dev, [system.name for system in rivals]),
        free_fusion_weight=free_weight,
        free_dev=free_dev,
        free_queries=len(judge.queries) if free_dev else 0,
    )
    return OnDev(tuned, values)


def _values(bench: Bench, systems: Iterable[System]) -> dict[str, dict[str, float]]:
    """System -> query id -> metric."""
    metric = bench.config.metric
    return {system.name: measure_rankings([metric], bench.qrels, system.rankings)[metric] for system in systems}

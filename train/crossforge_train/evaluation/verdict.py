"""Compares systems on one split and says WIN, TIE or REGRESSION."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossforge_train.collections.collection import Qrels
from crossforge_train.config import EvaluationConfig
from crossforge_train.evaluation.metrics import PerQuery, Rankings, mean, measure_rankings
from crossforge_train.evaluation.significance import bootstrap_interval, randomization_p_value

Verdict = Literal["WIN", "TIE", "REGRESSION"]

FIRST_STAGE = "first stage"
RERANKER = "reranker alone"
SHIPPED = "as shipped"


@dataclass(frozen=True)
class Comparison:
    """A system against the first stage, by the deciding metric.

    Attributes:
        difference: of the means.
        interval: 95% bootstrap interval of the difference.
        p_value: of the paired randomization test.
        wins: queries that got better.
        losses: queries that got worse.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    wins: int
    losses: int


@dataclass(frozen=True)
class SystemResult:
    """One system on one split: means of all measures, interval of the deciding one, comparison (None: baseline)."""

    name: str
    means: Mapping[str, float]
    interval: tuple[float, float]
    comparison: Comparison | None


@dataclass(frozen=True)
class SplitResult:
    """All systems on one split, the first stage first, and the verdict on what ships."""

    split: str
    queries: int
    systems: Sequence[SystemResult]
    verdict: Verdict


def compare_systems(
    split: str, qrels: Qrels, systems: Mapping[str, Rankings], config: EvaluationConfig, seed: int
) -> tuple[SplitResult, dict[str, PerQuery]]:
    """Measure the systems and compare each with the first stage; also returns the values of every query.

    Args:
        split: its name, for the report.
        qrels: judgements of the queries that were measured.
        systems: rankings by system; `FIRST_STAGE` and `SHIPPED` must be among them.
        config: measures, level of significance, number of draws.
        seed: of the draws.
    """
    values = {name: measure_rankings(config.measures, qrels, found) for name, found in systems.items()}
    baseline = values[FIRST_STAGE][config.metric]
    results = [_system_result(name, found, baseline, config, seed) for name, found in values.items()]
    shipped = next(result for result in results if result.name == SHIPPED)
    return SplitResult(split, len(baseline), results, _verdict(shipped.comparison, config.significance)), values


def overall_verdict(results: Sequence[SplitResult]) -> Verdict:
    """REGRESSION if any split is one, WIN if all are, TIE otherwise."""
    verdicts = {result.verdict for result in results}
    if "REGRESSION" in verdicts:
        return "REGRESSION"
    return "WIN" if verdicts == {"WIN"} else "TIE"


def _system_result(
    name: str, values: PerQuery, baseline: Mapping[str, float], config: EvaluationConfig, seed: int
) -> SystemResult:
    deciding = np.array(list(values[config.metric].values()), dtype=np.float64)
    return SystemResult(
        name,
        {measure: mean(found) for measure, found in values.items()},
        bootstrap_interval(deciding, config.permutations, seed),
        None if name == FIRST_STAGE else _comparison(values[config.metric], baseline, config, seed),
    )


def _comparison(
    values: Mapping[str, float], baseline: Mapping[str, float], config: EvaluationConfig, seed: int
) -> Comparison:
    differences = np.array([values[query_id] - baseline[query_id] for query_id in baseline], dtype=np.float64)
    return Comparison(
        float(differences.mean()) if len(differences) else 0.0,
        bootstrap_interval(differences, config.permutations, seed),
        randomization_p_value(differences, config.permutations, seed),
        int((differences > 0).sum()),
        int((differences < 0).sum()),
    )


def _verdict(comparison: Comparison | None, significance: float) -> Verdict:
    if comparison is None or comparison.p_value >= significance:
        return "TIE"
    return "WIN" if comparison.difference > 0 else "REGRESSION"

"""Compares systems on one split and returns a verdict: WIN, TIE or REGRESSION."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.metrics import PerQuery, mean
from crossforge_train.evaluation.significance import (
    bootstrap_interval,
    holm_adjusted,
    randomization_p_value,
    smallest_detectable,
)

Verdict = Literal["WIN", "TIE", "REGRESSION"]

CORRECTION_RULE = (
    "Holm-corrected: the comparisons that decide the verdict are one family, the others of the same table a second one"
)


@dataclass(frozen=True)
class Comparison:
    """A system against a baseline on the same queries, by the deciding metric.

    Attributes:
        system: name of the system.
        baseline: name of the baseline.
        decisive: whether the verdict depends on this comparison.
        difference: difference of the means.
        relative: difference as a share of the baseline's mean; None if that mean is 0.
        effect_size: mean per-query difference over its standard deviation (Cohen's d for pairs).
        interval: 95% bootstrap interval of the difference.
        p_value: p value of the paired randomization test, corrected for the number of comparisons.
        wins: number of queries that improved.
        losses: number of queries that got worse.
        verdict: verdict at the configured significance level.
        detectable: the smallest difference that so many queries show with a probability of 80%, at the level that
            Holm's correction asks of the first of the comparisons; None where the differences have no spread, and in
            reports of versions before 0.2.
    """

    system: str
    baseline: str
    decisive: bool
    difference: float
    relative: float | None
    effect_size: float
    interval: tuple[float, float]
    p_value: float
    wins: int
    losses: int
    verdict: Verdict
    detectable: float | None = None


@dataclass(frozen=True)
class SystemResult:
    """One system on one split: the means of all measures and the deciding one's 95% bootstrap interval."""

    name: str
    means: Mapping[str, float]
    interval: tuple[float, float]


@dataclass(frozen=True)
class Contest:
    """Which systems are compared.

    Attributes:
        baseline: the system that every other one is compared with.
        decisive: (system, baseline) pairs that decide the verdict.
        rivals: further (system, baseline) pairs, compared only to warn.
    """

    baseline: str
    decisive: Sequence[tuple[str, str]]
    rivals: Sequence[tuple[str, str]] = ()

    def pairs(self, systems: Iterable[str]) -> list[tuple[str, str]]:
        """All compared (system, baseline) pairs, the decisive ones first."""
        others = [(name, self.baseline) for name in systems if name != self.baseline]
        return list(dict.fromkeys((*self.decisive, *others, *self.rivals)))


def system_results(values: Mapping[str, PerQuery], config: EvaluationConfig, seed: int) -> list[SystemResult]:
    """Means and interval of each system, from its per-query values."""
    return [
        SystemResult(
            name,
            {measure: mean(by_query) for measure, by_query in found.items()},
            bootstrap_interval(np.array(list(found[config.metric].values())), config.permutations, seed),
        )
        for name, found in values.items()
    ]


def compare_systems(
    values: Mapping[str, PerQuery], contest: Contest, config: EvaluationConfig, seed: int
) -> list[Comparison]:
    """Compare systems pairwise; p values are corrected separately for the decisive and the other comparisons.

    Args:
        values: values by system, measure and query; all systems have the same queries.
        contest: which systems are compared.
        config: metric, significance level, number of draws.
        seed: seed of the draws.
    """
    pairs = contest.pairs(values)
    families = [[pair for pair in pairs if (pair in contest.decisive) == decisive] for decisive in (True, False)]
    found = [[_comparison(values, pair, contest, len(family), config, seed) for pair in family] for family in families]
    return [each for family in found for each in _corrected(family, config.significance)]


def overall_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """REGRESSION if any verdict is one, WIN if all are (and there is at least one), TIE otherwise."""
    found = set(verdicts)
    if "REGRESSION" in found:
        return "REGRESSION"
    return "WIN" if found == {"WIN"} else "TIE"


def _comparison(
    values: Mapping[str, PerQuery],
    pair: tuple[str, str],
    contest: Contest,
    family: int,
    config: EvaluationConfig,
    seed: int,
) -> Comparison:
    system, baseline = (values[name][config.metric] for name in pair)
    differences = np.array([system[query_id] - baseline[query_id] for query_id in baseline], dtype=np.float64)
    difference, before = (float(differences.mean()) if len(differences) else 0.0), mean(baseline)
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return Comparison(
        *pair,
        decisive=pair in contest.decisive,
        difference=difference,
        relative=difference / before if before else None,
        effect_size=difference / spread if spread else 0.0,
        interval=bootstrap_interval(differences, config.permutations, seed),
        p_value=randomization_p_value(differences, config.permutations, seed),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        verdict="TIE",  # placeholder until the p value is corrected
        detectable=smallest_detectable(differences, config.significance, family),
    )


def _corrected(family: Sequence[Comparison], significance: float) -> list[Comparison]:
    adjusted = holm_adjusted([found.p_value for found in family])
    return [
        replace(found, p_value=p_value, verdict=_verdict(found.difference, p_value, significance))
        for found, p_value in zip(family, adjusted, strict=True)
    ]


def _verdict(difference: float, p_value: float, significance: float) -> Verdict:
    if p_value >= significance:
        return "TIE"
    return "WIN" if difference > 0 else "REGRESSION"

"""Compares systems on one split and says WIN, TIE or REGRESSION."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.metrics import PerQuery, mean
from crossforge_train.evaluation.significance import bootstrap_interval, holm_adjusted, randomization_p_value

Verdict = Literal["WIN", "TIE", "REGRESSION"]

CORRECTION_RULE = (
    "Holm-corrected: the comparisons that decide the verdict are one family, the others of the same table a second one"
)


@dataclass(frozen=True)
class Comparison:
    """A system against a baseline on the same queries, by the deciding metric.

    Attributes:
        system: what is compared.
        baseline: with what.
        decisive: whether the verdict rests on it.
        difference: of the means.
        relative: the difference as a share of the baseline's mean; None where that is 0.
        effect_size: mean of the differences by query over their standard deviation (Cohen's d for pairs).
        interval: 95% bootstrap interval of the difference.
        p_value: of the paired randomization test, corrected for the number of comparisons.
        wins: queries that got better.
        losses: queries that got worse.
        verdict: what the p value says at the level of significance.
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


@dataclass(frozen=True)
class SystemResult:
    """One system on one split: means of all measures, and the 95% bootstrap interval of the deciding one."""

    name: str
    means: Mapping[str, float]
    interval: tuple[float, float]


@dataclass(frozen=True)
class Contest:
    """Who is compared with whom.

    Attributes:
        baseline: every other system is compared with it.
        decisive: (system, baseline) pairs that the verdict rests on.
        rivals: (system, baseline) pairs that are compared besides, for a warning.
    """

    baseline: str
    decisive: Sequence[tuple[str, str]]
    rivals: Sequence[tuple[str, str]] = ()

    def pairs(self, systems: Iterable[str]) -> list[tuple[str, str]]:
        """All (system, baseline) pairs that are compared, the decisive ones first."""
        others = [(name, self.baseline) for name in systems if name != self.baseline]
        return list(dict.fromkeys((*self.decisive, *others, *self.rivals)))


def system_results(values: Mapping[str, PerQuery], config: EvaluationConfig, seed: int) -> list[SystemResult]:
    """Means and interval of each system, from its values by query."""
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
    """Compare systems pairwise; p values are corrected within the decisive comparisons and within the others.

    Args:
        values: by system, measure and query; all systems have the same queries.
        contest: who is compared with whom.
        config: metric, level of significance, number of draws.
        seed: of the draws.
    """
    found = [_comparison(values, pair, contest, config, seed) for pair in contest.pairs(values)]
    families = [[each for each in found if each.decisive == decisive] for decisive in (True, False)]
    return [each for family in families for each in _corrected(family, config.significance)]


def overall_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """REGRESSION if any is one, WIN if all are (and there is one), TIE otherwise."""
    found = set(verdicts)
    if "REGRESSION" in found:
        return "REGRESSION"
    return "WIN" if found == {"WIN"} else "TIE"


def _comparison(
    values: Mapping[str, PerQuery], pair: tuple[str, str], contest: Contest, config: EvaluationConfig, seed: int
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
        verdict="TIE",  # until the p value is corrected
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

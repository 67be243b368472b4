"""Significance tests and intervals for two systems measured on the same queries."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1000
_CELLS = 4_000_000  # draws by query that are computed with at a time
_ROUNDING = 1e-12


def randomization_p_value(differences: NDArray[np.float64], permutations: int, seed: int) -> float:
    """Two-sided p value of the paired randomization test: how often random signs give as large a mean difference.

    Args:
        differences: metric differences by query, shape (queries,).
        permutations: number of random sign vectors.
        seed: seed of the draws.

    Source: R. A. Fisher, 1935; for retrieval M. Smucker et al., "A comparison of statistical significance tests for
    information retrieval evaluation", CIKM 2007.
    """
    if not differences.any():
        return 1.0
    random = np.random.default_rng(seed)
    observed = abs(differences.sum())
    as_large = 0
    for start in range(0, permutations, _BLOCK):
        block = min(_BLOCK, permutations - start)
        signs = random.integers(0, 2, size=(block, len(differences)), dtype=np.int8) * 2 - 1
        blocks = _blocks(block, len(differences))
        sums = np.concatenate([signs[rows.start : rows.stop] @ differences for rows in blocks])
        # The tolerance absorbs rounding: a draw of the observed signs must count as equally large.
        as_large += int((np.abs(sums) >= observed - _ROUNDING).sum())
    return (as_large + 1) / (permutations + 1)


def smallest_detectable(
    differences: NDArray[np.float64], significance: float, comparisons: int, power: float = 0.8
) -> float | None:
    """The smallest true difference that a paired test with so many queries shows with the given probability.

    None for a single query, and where the differences have no spread to tell from.

    Args:
        differences: metric differences by query, shape (queries,); their spread stands for that of other samples.
        significance: level of the two-sided test.
        comparisons: size of the family; the level is divided by it, as Holm's correction does for the first of them.
        power: probability of showing the difference.

    Source: J. Cohen, "Statistical power analysis for the behavioral sciences", 1988; for retrieval T. Sakai,
    "Statistical reform in information retrieval?", SIGIR Forum 2014.
    """
    if len(differences) < 2:
        return None
    spread, normal = differences.std(ddof=1), NormalDist()
    if spread < _ROUNDING:
        return None
    errors = normal.inv_cdf(1 - significance / comparisons / 2) + normal.inv_cdf(power)
    return float(errors * spread / np.sqrt(len(differences)))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Correct the p values of one family of comparisons for their number; none decreases or exceeds 1.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def bootstrap_interval(
    values: NDArray[np.float64], draws: int, seed: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over queries.

    Args:
        values: metric values by query, shape (queries,).
        draws: number of resamples.
        seed: seed of the resampling.
        confidence: share of the resampled means inside the interval.
    """
    if not len(values):
        return 0.0, 0.0
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[random.integers(0, len(values), size=(len(rows), len(values)))].mean(axis=1)
            for rows in _blocks(draws, len(values))
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _blocks(draws: int, queries: int) -> list[range]:
    """The draws in blocks that are small in memory."""
    size = max(1, min(_BLOCK, _CELLS // queries))
    return [range(start, min(start + size, draws)) for start in range(0, draws, size)]

"""Choices averaged over resamples of the queries (bagging), so that two or three of them do not decide.

Source: L. Breiman, "Bagging predictors", Machine Learning 1996.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 500


def means_over_resamples(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The mean of each option on each resample of the queries.

    They are rounded, so that equally good options are equal, whatever the order of summation.

    Args:
        values: metric values of shape (options, queries).
        seed: seed of the resampling.

    Returns:
        Means of shape (options, resamples).
    """
    return resampled_means(values, _RESAMPLES, np.random.default_rng(seed)).round(6)


def resampled_means(values: NDArray[np.float64], resamples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """The mean of each option on each resample of the queries, one resample at a time, as there may be many queries.

    Args:
        values: metric values of shape (options, queries).
        resamples: their number.
        random: draws them.

    Returns:
        Means of shape (options, resamples).
    """
    queries = values.shape[1]

    def means() -> NDArray[np.float64]:
        drawn = random.integers(0, queries, size=queries)
        return np.asarray(values @ np.bincount(drawn, minlength=queries) / queries)

    return np.stack([means() for _ in range(resamples)], axis=1)


def resamples_won(values: NDArray[np.float64], over: NDArray[np.float64], seed: int) -> float:
    """The share of resamples of the queries on which one way to order them has a higher mean than another.

    Args:
        values: metric values of shape (queries,).
        over: those of the other, for the same queries.
        seed: seed of the resampling.
    """
    return float((means_over_resamples((values - over)[None], seed) > 0).mean())

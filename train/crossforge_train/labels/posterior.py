"""How probably a document is relevant, given a judge's grade and the rank at which the document was found.

What a judge gets wrong is known from pairs that people judged as well: how often it gives which grade to what is
relevant, and to what is not. How much is relevant at a rank follows from all its grades there. Bayes' rule joins both.
Where few documents are relevant, most of those that a judge calls so may not be, however seldom it errs.

Source: Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Applied
Statistics 1979; here the error rates are known, and only the share of relevant documents is estimated.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 500
_CLOSE = 1e-6  # shares that change by less have converged


def error_rates(judged: Iterable[tuple[bool, int]], grades: int) -> NDArray[np.float64]:
    """How often which grade is given to what is not relevant, and to what is; shape (2, grades), each row sums to 1.

    Half a pair is added to each, so that a grade that was never seen is not taken for impossible.

    Args:
        judged: whether people call a pair relevant, and the judge's grade of it.
        grades: how many there are, from 0.
    """
    counts = np.full((2, grades), 0.5)
    for relevant, grade in judged:
        counts[int(relevant), grade] += 1
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def relevant_shares(counts: NDArray[np.int64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of relevant documents at each rank, by expectation maximisation; shape (ranks,).

    Each rank also counts one pair with the share of all ranks, which steadies those with few pairs.

    Args:
        counts: how many pairs of a rank have which grade; shape (ranks, grades).
        rates: of the judge's errors, see `error_rates`.
    """
    overall = _shares(counts.sum(axis=0, keepdims=True), rates, 0.0, 0.5)
    return _shares(counts, rates, 1.0, float(overall[0]))


def posteriors(shares: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """How probably a document is relevant, by its rank and grade; shape (ranks, grades).

    Args:
        shares: of relevant documents at each rank.
        rates: of the judge's errors, see `error_rates`.
    """
    relevant, other = shares[:, None] * rates[1], (1 - shares)[:, None] * rates[0]
    seen = relevant + other
    unseen = np.repeat(shares[:, None], rates.shape[1], axis=1)
    return np.asarray(np.divide(relevant, seen, out=unseen, where=seen > 0))


def _shares(counts: NDArray[np.int64], rates: NDArray[np.float64], weight: float, prior: float) -> NDArray[np.float64]:
    totals = counts.sum(axis=1) + weight
    shares = np.full(len(counts), prior if 0 < prior < 1 else 0.5)
    for _ in range(_ROUNDS):
        expected = (counts * posteriors(shares, rates)).sum(axis=1) + weight * prior
        after = np.asarray(np.divide(expected, totals, out=shares.copy(), where=totals > 0))
        if np.abs(after - shares).max(initial=0) < _CLOSE:
            return after
        shares = after
    return shares

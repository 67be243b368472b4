"""Fits a learning curve to the quality that several amounts of labels gave, and reads the next labels' gain off it.

The form is an inverse power law, quality = a - b * n^-c, with b >= 0: more labels never make it worse. Sources: Cortes
et al., "Learning curves: asymptotic values and rate of convergence", NIPS 1993, for the form; Figueroa et al.,
"Predicting sample size required for classification performance", BMC Medical Informatics and Decision Making 2012, for
fitting it to the first part of a curve; Hestness et al., "Deep learning scaling is predictable, empirically", 2017,
found c between 0.07 and 0.35 for large amounts of data, and theory has up to 1.

Three parameters are a lot for four points. They are taken only if the points settle c. If they do not, c is not
estimated but drawn anew for each resample from what is usual; that the form is not known then widens the intervals.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossforge_train.evaluation.resampling import resampled_means

Form = Literal["power law", "power law, exponent not known"]

SETTLED: Form = "power law"
UNSETTLED: Form = "power law, exponent not known"

_RATES = (0.1, 1.0)  # exponents that are usual
_TRIED = np.geomspace(*_RATES, 24)
_SETTLED_SHARE = 0.9  # of the resamples in which the points settle the exponent
_RESAMPLES = 400
_PARAMETERS = 3
_LEVEL = (2.5, 50.0, 97.5)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A learning curve, as one curve for each resample of the dev queries.

    Attributes:
        form: what the points settle of it.
        limits: quality with endless labels by resample, shape (resamples,).
        falls: what is missing to it with one label, b, by resample, shape (resamples,).
        rates: the exponent c by resample, shape (resamples,).
    """

    form: Form
    limits: Values
    falls: Values
    rates: Values

    def at(self, queries: float) -> Values:
        """Quality with so many labelled queries by resample, shape (resamples,)."""
        return np.asarray(self.limits - self.falls * queries**-self.rates)

    def interval(self, queries: float) -> tuple[float, float, float]:
        """Lower end, median and upper end of the quality with so many labelled queries (95%)."""
        return _summary(self.at(queries))

    def gain(self, queries: int, more: int) -> tuple[float, float, float]:
        """Lower end, median and upper end of what `more` labelled queries add to so many (95%)."""
        return _summary(self.at(queries + more) - self.at(queries))


def fit_curve(queries: Sequence[int], values: Values, seed: int) -> Curve:
    """Fit a curve to each of several hundred resamples of the dev queries.

    A resample also moves each point by as much as the points lie off the curve: another draw of labels, or another
    seed, would have moved them, which resampling dev queries alone does not tell.

    Args:
        queries: labelled queries of each training, ascending, shape (trainings,); at least three.
        values: metric of each training by dev query, shape (trainings, dev queries).
        seed: of the resampling.
    """
    amounts, random = np.asarray(queries, dtype=np.float64), np.random.default_rng(seed)
    means = resampled_means(values, _RESAMPLES, random).T
    rates = random.uniform(*_RATES, size=_RESAMPLES)
    means = means + random.normal(0.0, _scatter(amounts, values.mean(axis=1)), size=means.shape)
    settled = _settled(amounts, means) if len(amounts) > _PARAMETERS else None
    if settled is not None:
        return Curve(SETTLED, *settled.T)
    limits, falls = _with_rates(amounts, means, rates)
    return Curve(UNSETTLED, limits, falls, rates)


def _scatter(amounts: Values, means: Values) -> float:
    """Standard deviation of the points off the curve that comes nearest to them, among those with usual exponents."""
    return float(np.sqrt(_squares(amounts, means[None]).min() / max(1, len(means) - 2)))


def _squares(amounts: Values, means: Values) -> Values:
    """How far points lie off the nearest curve with each of several exponents, as sums of squares.

    Args:
        amounts: labelled queries, shape (trainings,).
        means: qualities, shape (resamples, trainings).

    Returns:
        Shape (exponents, resamples), in the order of `_TRIED`.
    """
    found = []
    for rate in _TRIED:
        limits, falls = _with_rates(amounts, means, np.full(len(means), rate))
        off = means - (limits[:, None] - falls[:, None] * amounts**-rate)
        found.append((off**2).sum(axis=1))
    return np.array(found)


def _with_rates(amounts: Values, means: Values, rates: Values) -> tuple[Values, Values]:
    """The nearest rising curves with given exponents: limits and falls, both of shape (resamples,).

    Args:
        amounts: labelled queries, shape (trainings,).
        means: qualities, shape (resamples, trainings).
        rates: exponents, shape (resamples,).
    """
    missing = amounts ** -rates[:, None]
    centred = missing - missing.mean(axis=1, keepdims=True)
    slopes = (centred * means).sum(axis=1) / (centred**2).sum(axis=1)
    falls = np.maximum(0.0, -slopes)
    return means.mean(axis=1) + falls * missing.mean(axis=1), falls


def _settled(amounts: Values, means: Values) -> Values | None:
    """Limit, fall and exponent by resample, shape (resamples, 3); None if the points do not settle the exponent.

    They do if it lies inside of what is usual on nearly all resamples; the others are left out.
    """
    nearest = _squares(amounts, means).argmin(axis=0)
    inside = (nearest > 0) & (nearest < len(_TRIED) - 1)
    if inside.mean() < _SETTLED_SHARE:
        return None
    found = [_nearest(amounts, one, _TRIED[rate]) for one, rate in zip(means[inside], nearest[inside], strict=True)]
    curves = [curve for curve in found if curve is not None and curve[1] > 0]
    return np.array(curves) if len(curves) >= _SETTLED_SHARE * len(means) else None


def _nearest(amounts: Values, means: Values, rate: float) -> Sequence[float] | None:
    """Limit, fall and exponent of the nearest curve, looked for from an exponent; None if there is none."""
    from scipy.optimize import OptimizeWarning, curve_fit

    limits, falls = _with_rates(amounts, means[None], np.array([rate]))
    bounds = ((-np.inf, 0.0, _RATES[0]), (np.inf, np.inf, _RATES[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            found, _ = curve_fit(_power_law, amounts, means, p0=(limits[0], falls[0], rate), bounds=bounds)
        except RuntimeError:  # it did not converge
            return None
    return [float(value) for value in found]


def _power_law(amounts: Values, limit: float, fall: float, rate: float) -> Values:
    return np.asarray(limit - fall * amounts**-rate)


def _summary(values: Values) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, _LEVEL)
    return float(low), float(middle), float(high)

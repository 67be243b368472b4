"""Predicts, before a LayerNorm, what it will divide each token by: linearly, and by the GELU of one unit.

A linear regression foresees ordinary tokens. In the upper layers a few units of the feed-forward block write very large
values at some tokens, such as full stops, and the GELU of one of them takes away up to half of the linear error.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import gelu

from crossforge_train.grafting.calibration import invertible

_TINY = 1e-6  # a unit that varies less than this over all tokens says nothing


class Reading(NamedTuple):
    """What a unit makes of a token before its GELU: weight · token + bias, with a weight of shape (hidden,)."""

    weight: Tensor
    bias: float


class Prediction(NamedTuple):
    """The value predicted of a token: that of `linear` plus `factor` times the GELU of `unit`."""

    linear: Reading
    unit: Reading
    factor: float


def predict(read: Tensor, wanted: Tensor, units: tuple[Tensor, Tensor], largest: float) -> Prediction:
    """Fit a prediction with the smallest relative errors, since the LayerNorm finally divides by the wanted value.

    Args:
        read: tokens, shape (tokens, hidden).
        wanted: the positive value to predict of each token, shape (tokens,).
        units: weights, shape (units, hidden), and biases, shape (units,), of the units to choose from.
        largest: the unit is scaled down so that its GELU never exceeds this.
    """
    weights, biases = units
    values = read @ weights.T + biases
    scales = largest / values.amax(0).clamp(min=largest)
    given = gelu(values * scales)
    linear = _regression(read, wanted)
    error = (read @ linear.weight + linear.bias) / wanted - 1
    relative = given / wanted[:, None]
    relative -= relative.mean(0)
    follows = (error @ relative).abs() / relative.norm(dim=0).clamp(min=_TINY)
    best = int(follows.argmax())
    both = _regression(torch.cat([read, given[:, best, None]], 1), wanted)
    unit = Reading(weights[best] * scales[best], float(biases[best] * scales[best]))
    return Prediction(Reading(both.weight[:-1], both.bias), unit, float(both.weight[-1]))


def _regression(columns: Tensor, wanted: Tensor) -> Reading:
    """The linear regression that minimises relative errors."""
    share = wanted**-2 / (wanted**-2).sum()
    centre, mean = share @ columns, share @ wanted
    apart = columns - centre
    covariance = invertible(apart.T @ (share[:, None] * apart))
    weight: Tensor = torch.linalg.solve(covariance, apart.T @ (share * (wanted - mean)))
    return Reading(weight, float(mean - centre @ weight))

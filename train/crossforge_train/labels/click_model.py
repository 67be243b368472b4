"""How much more often than its positions explain a document is clicked.

Clicks over expected clicks (COEC) divides a document's clicks by those that an average document would get where it was
shown. Where good documents stand at the top, the average of a position is too high and hides how good they are; so
positions and documents are estimated in turns until they agree: clicks are taken as Poisson, with a mean that is the
product of the position's bias and the document's attractiveness, which has a gamma prior of mean 1. The first turn is
COEC, and where every document keeps its position, all are.

Sources: Zhang and Jones, "Comparing Click Logs and Editorial Labels for Training Query Rewriting", WWW 2007 workshop,
for COEC; Richardson, Dominowska and Ragno, "Predicting Clicks", WWW 2007, for the product.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_TURNS = 200
_CLOSE = 1e-5  # relative change of the bias at which turns end

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


class Attraction(NamedTuple):
    """What a click log says.

    Attributes:
        ratio: of each pair of query and document its clicks over expected clicks, shape (pairs,); 1 is average.
        impressions: how often each pair was shown, shape (pairs,).
        bias: expected clicks of an average document at each position, shape (positions,).
    """

    ratio: Values
    impressions: Counts
    bias: Values


def attraction(
    pairs: Counts,
    positions: Counts,
    gains: Values,
    *,
    prior: float,
    bias: Values | None = None,
    turns: int = _MOST_TURNS,
) -> Attraction:
    """Clicks over expected clicks of each pair.

    Args:
        pairs: which pair each line of the log shows, from 0, shape (lines,).
        positions: at which position, from 0, shape (lines,).
        gains: 0 for no click, otherwise how much it counts, shape (lines,).
        prior: expected clicks by which a pair is drawn towards 1.
        bias: of each position, up to a factor, shape (positions,); None estimates it.
        turns: of the estimate, at most; 1 is plain COEC.
    """
    whole = int(positions.max()) + 1
    shown = _sums(positions, np.ones(len(gains)), whole)
    clicked = _sums(positions, gains, whole)
    given = _sums(pairs, gains, int(pairs.max()) + 1)
    if bias is not None:
        bias = _scaled(bias[:whole], shown, clicked)
        return Attraction(_ratio(pairs, positions, given, bias, prior), np.bincount(pairs), bias)
    bias = clicked / np.maximum(shown, 1)
    for _ in range(turns - 1):
        ratio = _ratio(pairs, positions, given, bias, prior)
        better = _scaled(clicked / np.maximum(_sums(positions, ratio[pairs], whole), 1e-12), shown, clicked)
        change = np.abs(better - bias).max() / max(bias.max(), 1e-12)
        bias = better
        if change < _CLOSE:
            break
    return Attraction(_ratio(pairs, positions, given, bias, prior), np.bincount(pairs), bias)


def _sums(keys: Counts, values: Values, keys_in_all: int) -> Values:
    return np.bincount(keys, values, keys_in_all).astype(np.float64)


def _ratio(pairs: Counts, positions: Counts, given: Values, bias: Values, prior: float) -> Values:
    expected = _sums(pairs, bias[positions], len(given))
    # Without a prior, what stood where nobody clicks anything says nothing: 0, not infinity.
    said = (expected > 0) | (prior > 0)
    return np.asarray((given + prior) / np.maximum(expected + prior, 1e-12) * said, np.float64)


def _scaled(bias: Values, shown: Values, clicked: Values) -> Values:
    """The bias times a factor, so that as many clicks are expected as there are."""
    expected = float(bias @ shown)
    return bias * (float(clicked.sum()) / expected) if expected else bias

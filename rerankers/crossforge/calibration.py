"""Turn logits into decisions: calibrated probabilities, and fusion with first-stage scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Maps logits to probabilities by isotonic regression if it has knots, else by Platt scaling. Keeps the order.

    Attributes:
        slope: Platt scaling's slope: probability = sigmoid(slope · logit + intercept).
        intercept: Platt scaling's intercept.
        knots: (logit, probability) points of isotonic regression, both non-decreasing; interpolated linearly between
            knots, constant beyond them.

    Source: J. Platt, "Probabilistic outputs for support vector machines", 1999; B. Zadrozny and C. Elkan,
    "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.
    """

    slope: float = 1.0
    intercept: float = 0.0
    knots: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        # JSON yields lists; tuples make a loaded calibrator equal to the one that was saved.
        object.__setattr__(self, "knots", tuple(map(tuple, self.knots)))

    @property
    def method(self) -> str:
        """The calibration method: "platt" or "isotonic"."""
        return "isotonic" if self.knots else "platt"

    def applied_to(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """What Platt scaling made these logits of: (logits - intercept) / slope, float64 in the shape of `logits`."""
        return np.asarray((logits.astype(np.float64) - self.intercept) / self.slope, dtype=np.float64)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities, float64, in the shape of `logits`."""
        values = logits.astype(np.float64)
        if self.knots:
            points = np.asarray(self.knots, dtype=np.float64)
            return np.interp(values, points[:, 0], points[:, 1])
        scaled = self.slope * values + self.intercept
        return np.asarray(np.exp(-np.logaddexp(0.0, -scaled)), dtype=np.float64)


def fuse(logits: NDArray[np.float32], first_stage_scores: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Combine both scores of one query's candidates, each standardised over those candidates.

    Args:
        logits: shape (candidates,).
        first_stage_scores: shape (candidates,).
        weight: weight of the first stage, from 0 (reranker alone) to 1 (first stage alone).

    Returns:
        float64 array of shape (candidates,); only its order is meaningful.
    """
    return (1 - weight) * standardised(logits) + weight * standardised(first_stage_scores)


def standardised(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scores with mean 0 and standard deviation 1, in their shape; 0 where all of them are the same."""
    values = scores.astype(np.float64)
    spread = values.std() if values.size else 0.0
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def descending(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Positions by descending score; ties keep their input order."""
    return np.argsort(-scores, kind="stable")

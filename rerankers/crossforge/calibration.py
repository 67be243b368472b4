"""What turns logits into decisions: calibrated probability, threshold, and fusion with the first-stage score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Logit to probability: Platt scaling, or, where there are knots, isotonic regression. The order never changes.

    Attributes:
        slope: of Platt scaling, probability = sigmoid(slope · logit + intercept).
        intercept: likewise.
        knots: (logit, probability) points of isotonic regression, both rising; linear between them, constant beyond.

    Source: J. Platt, "Probabilistic outputs for support vector machines", 1999; B. Zadrozny and C. Elkan,
    "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.
    """

    slope: float = 1.0
    intercept: float = 0.0
    knots: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        # JSON gives lists; as tuples a calibrator equals the one that was written.
        object.__setattr__(self, "knots", tuple(map(tuple, self.knots)))

    @property
    def method(self) -> str:
        """Its name: platt or isotonic."""
        return "isotonic" if self.knots else "platt"

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of the same shape as `logits`, computed in float64."""
        values = logits.astype(np.float64)
        if self.knots:
            points = np.asarray(self.knots, dtype=np.float64)
            return np.interp(values, points[:, 0], points[:, 1])
        scaled = self.slope * values + self.intercept
        return np.asarray(np.exp(-np.logaddexp(0.0, -scaled)), dtype=np.float64)


def fuse(logits: NDArray[np.float32], first_stage_scores: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Combine the two scores of one query's candidates, each standardised over those candidates.

    Args:
        logits: shape (candidates,).
        first_stage_scores: shape (candidates,).
        weight: share of the first stage, from 0 (reranker alone) to 1 (first stage alone).

    Returns:
        float64 array of shape (candidates,); only its order has a meaning.
    """
    return (1 - weight) * _standardised(logits) + weight * _standardised(first_stage_scores)


def _standardised(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    values = scores.astype(np.float64)
    spread = values.std() if values.size else 0.0
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def descending(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Positions in order of falling score; equal scores keep their input order."""
    return np.argsort(-scores, kind="stable")

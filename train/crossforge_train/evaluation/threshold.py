"""The threshold: if the best candidate's probability is below it, the answer is "nothing relevant here"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossforge.calibration import Calibrator
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.scoring import ScoredQuery

THRESHOLD_RULE = (
    "every query counts twice where it can: with all its candidates (something relevant is there), and without the "
    "relevant ones (nothing is)"
)


@dataclass(frozen=True)
class ThresholdResult:
    """Precision and recall of a threshold on a split; None where the denominator is zero.

    Attributes:
        threshold: a probability.
        precision: share of the candidate lists rejected as "nothing relevant here" that hold nothing relevant.
        recall: share of the lists that hold nothing relevant that are rejected.
        kept_precision: share of the candidates at or above the threshold that are relevant.
        kept_recall: share of the relevant candidates that are at or above the threshold.
    """

    threshold: float
    precision: float | None
    recall: float | None
    kept_precision: float | None
    kept_recall: float | None


def choose_threshold(scored: Mapping[str, ScoredQuery], qrels: Qrels, calibrator: Calibrator) -> float | None:
    """The threshold with the best balanced accuracy on lists with and without a relevant candidate.

    Args:
        scored: reranked candidates of the dev queries.
        qrels: their judgements.
        calibrator: maps logits to probabilities.

    Returns:
        A probability; None unless both kinds of lists occur.
    """
    from sklearn.metrics import roc_curve

    best, holds_relevant = _best_probabilities(scored, qrels, calibrator)
    if holds_relevant.all() or not holds_relevant.any():
        return None
    false_alarms, found, thresholds = roc_curve(holds_relevant, best, drop_intermediate=False)
    return float(thresholds[1 + int(np.argmax((found - false_alarms)[1:]))])  # skips infinity, which keeps nothing


def measure_threshold(
    scored: Mapping[str, ScoredQuery], qrels: Qrels, calibrator: Calibrator, threshold: float
) -> ThresholdResult:
    """Measure precision and recall of "nothing relevant here" and of the kept candidates."""
    best, holds_relevant = _best_probabilities(scored, qrels, calibrator)
    said_nothing = best < threshold
    probabilities = [calibrator.probabilities(found.logits) for found in scored.values()]
    kept = np.concatenate([*probabilities, np.empty(0)]) >= threshold
    relevant = np.concatenate(
        [*(found.relevant(qrels.get(query_id, {})) for query_id, found in scored.items()), np.empty(0, bool)]
    )
    return ThresholdResult(
        threshold,
        precision=_share(~holds_relevant, said_nothing),
        recall=_share(said_nothing, ~holds_relevant),
        kept_precision=_share(relevant, kept),
        kept_recall=_share(kept, relevant),
    )


def _best_probabilities(
    scored: Mapping[str, ScoredQuery], qrels: Qrels, calibrator: Calibrator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The best probability of each list of candidates, and whether the list holds a relevant one.

    The first stage alone yields few lists without a relevant candidate, on some collections none. So each query also
    contributes the list of its candidates that are not relevant.
    """
    best: list[float] = []
    holds_relevant: list[bool] = []
    for query_id, found in scored.items():
        probabilities, relevant = calibrator.probabilities(found.logits), found.relevant(qrels.get(query_id, {}))
        for members, label in ((np.ones_like(relevant), True), (~relevant, False)):
            if members.any() and (relevant.any() or not label):
                best.append(float(probabilities[members].max()))
                holds_relevant.append(label)
    return np.array(best, dtype=np.float64), np.array(holds_relevant, dtype=bool)


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    return float(of[among].mean()) if among.any() else None

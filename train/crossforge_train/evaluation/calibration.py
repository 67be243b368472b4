"""Turns logits into probabilities: calibrators are fitted on dev and checked on test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.choice import AUTO
from crossforge.calibration import Calibrator
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.scoring import ScoredQuery

_FOLDS = 5
_CLEARLY = 0.98  # isotonic regression's log loss has to be at most this share of Platt scaling's
_BINS = 10
_HISTOGRAM_BINS = 30

Logits = NDArray[np.float32]
Relevant = NDArray[np.bool_]


@dataclass(frozen=True)
class FittedCalibrator:
    """A calibrator, and the held-out log loss of each candidate method (empty if there was nothing to choose)."""

    calibrator: Calibrator
    log_losses: Mapping[str, float]


@dataclass(frozen=True)
class ReliabilityBin:
    """Candidates in one probability bin: their number, mean probability, and the share that is relevant."""

    documents: int
    probability: float
    relevant: float


@dataclass(frozen=True)
class ScoreHistogram:
    """Counts of relevant and other candidates per logit bin; `edges` has shape (bins + 1,), the counts (bins,)."""

    edges: Sequence[float]
    relevant: Sequence[int]
    others: Sequence[int]


@dataclass(frozen=True)
class Reliability:
    """How well the probabilities match the judgements.

    Attributes:
        method: calibration method.
        ece: expected calibration error over ten equal-width bins.
        log_loss: mean negative log likelihood, in nats.
        base_log_loss: log loss of predicting the overall share of relevant candidates for every candidate.
        bins: the reliability diagram, without empty bins.
        histogram: distribution of the logits.
    """

    method: str
    ece: float
    log_loss: float
    base_log_loss: float
    bins: Sequence[ReliabilityBin]
    histogram: ScoreHistogram


def fit_calibrator(scored: Mapping[str, ScoredQuery], qrels: Qrels, method: str = AUTO) -> FittedCalibrator:
    """Fit a calibrator.

    Args:
        scored: reranked candidates of the dev queries.
        qrels: their judgements.
        method: "platt", "isotonic" or "auto": isotonic regression if its log loss on held-out queries is clearly lower,
            and otherwise Platt scaling, which a model can hold.

    Returns:
        The calibrator: the identity if only one class is present; of too few queries for cross-validation, "auto" makes
        Platt scaling.
    """
    from sklearn.model_selection import GroupKFold

    logits, relevant = pooled(scored, qrels)
    if relevant.all() or not relevant.any():
        return FittedCalibrator(Calibrator(), {})
    if method != AUTO:
        return FittedCalibrator(_METHODS[method](logits, relevant), {})
    queries = np.repeat(np.arange(len(scored)), [len(found.doc_ids) for found in scored.values()])
    if len(np.unique(queries)) < _FOLDS:
        return FittedCalibrator(fit_platt(logits, relevant), {})
    folds = list(GroupKFold(_FOLDS).split(logits, relevant, queries))
    losses = {name: _held_out_loss(fit, logits, relevant, folds) for name, fit in _METHODS.items()}
    best = "isotonic" if losses["isotonic"] <= _CLEARLY * losses["platt"] else "platt"
    return FittedCalibrator(_METHODS[best](logits, relevant), losses)


def fit_platt(logits: Logits, relevant: Relevant) -> Calibrator:
    """Fit Platt scaling; both classes must be present.

    Where higher logits are less often relevant, every probability is the overall share: a calibrator keeps the order.
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(logits[:, None], relevant)
    if (slope := float(fitted.coef_[0, 0])) < 0:
        share = float(relevant.mean())
        return Calibrator(slope=0.0, intercept=float(np.log(share / (1 - share))))
    return Calibrator(slope=slope, intercept=float(fitted.intercept_[0]))


def fit_isotonic(logits: Logits, relevant: Relevant) -> Calibrator:
    """Fit isotonic regression, clipped to [1 / (n + 2), 1 - 1 / (n + 2)] for n candidates: it is never certain."""
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(logits) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(logits, relevant)
    knots = zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True)
    return Calibrator(knots=tuple(knots))


_METHODS: dict[str, Callable[[Logits, Relevant], Calibrator]] = {"platt": fit_platt, "isotonic": fit_isotonic}


def measure_reliability(scored: Mapping[str, ScoredQuery], qrels: Qrels, calibrator: Calibrator) -> Reliability:
    """Compare probabilities with judgements; unjudged candidates count as not relevant."""
    logits, relevant = pooled(scored, qrels)
    probabilities = calibrator.probabilities(logits)
    numbers = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    bins = [
        ReliabilityBin(int(chosen.sum()), float(probabilities[chosen].mean()), float(relevant[chosen].mean()))
        for chosen in (numbers == number for number in range(_BINS))
        if chosen.any()
    ]
    total = max(1, len(logits))
    return Reliability(
        method=calibrator.method,
        ece=sum(found.documents / total * abs(found.probability - found.relevant) for found in bins),
        log_loss=_log_loss(relevant, probabilities),
        base_log_loss=_log_loss(relevant, np.full(len(relevant), relevant.mean() if len(relevant) else 0.5)),
        bins=bins,
        histogram=_histogram(logits, relevant),
    )


def pooled(scored: Mapping[str, ScoredQuery], qrels: Qrels) -> tuple[Logits, Relevant]:
    """The logits of all candidates of all queries, and whether each is judged relevant; both of shape (pairs,)."""
    logits = [found.logits for found in scored.values()]
    relevant = [found.relevant(qrels.get(query_id, {})) for query_id, found in scored.items()]
    return np.concatenate([*logits, np.empty(0, np.float32)]), np.concatenate([*relevant, np.empty(0, bool)])


def _held_out_loss(
    fit: Callable[[Logits, Relevant], Calibrator],
    logits: Logits,
    relevant: Relevant,
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> float:
    losses = []
    for seen, held_out in folds:
        one_class = relevant[seen].all() or not relevant[seen].any()
        calibrator = Calibrator() if one_class else fit(logits[seen], relevant[seen])
        losses.append(_log_loss(relevant[held_out], calibrator.probabilities(logits[held_out])))
    return float(np.mean(losses))


def _log_loss(relevant: Relevant, probabilities: NDArray[np.float64]) -> float:
    from sklearn.metrics import log_loss

    return float(log_loss(relevant, probabilities, labels=[False, True])) if len(relevant) else 0.0


def _histogram(logits: Logits, relevant: Relevant) -> ScoreHistogram:
    edges = np.histogram_bin_edges(logits, bins=_HISTOGRAM_BINS)
    counts = [np.histogram(logits[chosen], bins=edges)[0].tolist() for chosen in (relevant, ~relevant)]
    return ScoreHistogram(edges.tolist(), *counts)

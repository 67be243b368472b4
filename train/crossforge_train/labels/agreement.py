"""Measures a machine's grades against people's judgements of the same pairs.

Sources: Cohen, "Weighted kappa: nominal scale agreement with provision for scaled disagreement or partial credit",
Psychological Bulletin 1968; for judges of relevance, Thomas et al., "Large language models can accurately predict
searcher preferences", SIGIR 2024.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossforge_train.collections.agreement import Agreement, JudgedTwice

# Fewer pairs decide nothing: the interval of their kappa spans most of what it may be.
ENOUGH_PAIRS = 30

# Standard deviation of kappa over the ten candidates of a single query, on MedQuAD (benchmarks/noisy_judge.py): with
# 40, 80 and 160 queries, 66%, 82% and 94% of the draws come within .05.
_ONE_QUERY = 0.33

_LEAST_QUERIES = 5  # for an interval
_RESAMPLES = 1000
_GRADED = ("0", "1", "2", "3")
_BINARY = ("not relevant", "relevant")


def agreement(judge: str, pairs: Sequence[JudgedTwice], relevant: int, least: float | None) -> Agreement:
    """How far the two agree, and whether that is enough.

    Where people told more than relevant from not relevant, and nothing above the machine's 3, grades are compared;
    otherwise both are taken as relevant or not.

    Args:
        judge: who the machine is.
        pairs: what both judged.
        relevant: the machine's lowest grade that is relevant.
        least: the kappa that is enough, if there are at least 30 pairs; None: any is.
    """
    graded = 1 < max((pair.people for pair in pairs), default=0) < len(_GRADED)
    levels = _GRADED if graded else _BINARY
    queries = list(dict.fromkeys(pair.query for pair in pairs))
    counts = np.zeros((len(queries), len(levels), len(levels)), np.int64)
    for pair in pairs:
        people, machine = (max(0, pair.people), pair.machine) if graded else (pair.people > 0, pair.machine >= relevant)
        counts[queries.index(pair.query), int(people), int(machine)] += 1
    confusion = counts.sum(axis=0)
    kappa = _kappa(confusion)
    enough = kappa is None or least is None or kappa >= least or len(pairs) < ENOUGH_PAIRS
    return Agreement(
        judge, len(pairs), len(queries), kappa, _interval(counts), list(levels), confusion.tolist(), least, enough
    )


def expected_error(queries: int) -> float:
    """How far off kappa will be at most, in 95 of 100 cases, if people judge all that the judge grades for the queries.

    Args:
        queries: how many, with about ten candidates each.
    """
    return 1.96 * _ONE_QUERY / math.sqrt(queries)


def in_words(found: Agreement) -> str:
    """The agreement in one sentence, with what is wrong with it, and the way out."""
    if not found.pairs:
        return (
            f"how far the grades of {found.judge} can be trusted is not known: people judged none of the same "
            "documents; `crossforge judge` asks them"
        )
    if found.kappa is None:
        said = f"{found.judge} and people cannot be compared on {_pairs(found)}: both always say the same"
    else:
        interval = "" if found.interval is None else f" [{found.interval[0]:.2f}, {found.interval[1]:.2f}]"
        said = f"{found.judge} agrees with people on {_pairs(found)} to a weighted kappa of {found.kappa:.2f}{interval}"
    if not found.used:
        return (
            f"{said}, below judge.least_kappa ({found.least:g}): its labels are not trained on, and words and vectors "
            "label the log instead; try another judge.model or judge.prompt, or lower judge.least_kappa"
        )
    if found.pairs < ENOUGH_PAIRS:
        return f"{said}; fewer than {ENOUGH_PAIRS} pairs say little and decide nothing: judge more (`crossforge judge`)"
    return said


def _pairs(found: Agreement) -> str:
    return f"{found.pairs:,} pairs of {found.queries:,} {'queries' if found.queries != 1 else 'query'}"


def _kappa(confusion: NDArray[np.int64]) -> float | None:
    """Weighted kappa of a confusion matrix; None if it is not defined."""
    from sklearn.metrics import cohen_kappa_score

    if not confusion.any():
        return None
    people, machine = np.indices(confusion.shape).reshape(2, -1)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(cohen_kappa_score(people, machine, weights="linear", sample_weight=confusion.reshape(-1)))
    return value if math.isfinite(value) else None


def _interval(counts: NDArray[np.int64]) -> tuple[float, float] | None:
    """The 95% interval of kappa over draws of queries, whose pairs are not independent of each other."""
    queries = len(counts)
    if queries < _LEAST_QUERIES:
        return None
    draws = np.random.default_rng(0).multinomial(queries, np.full(queries, 1 / queries), size=_RESAMPLES)
    found = _kappas(np.tensordot(draws, counts, axes=1))
    found = found[np.isfinite(found)]
    if len(found) < _RESAMPLES / 2:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _kappas(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weighted kappas of many confusion matrices at once, for which the library would take seconds; NaN if undefined.

    Args:
        confusions: shape (matrices, levels, levels).
    """
    levels = np.arange(confusions.shape[1])
    distance = np.abs(levels[:, None] - levels)
    totals = confusions.sum(axis=(1, 2), keepdims=True)
    expected = confusions.sum(axis=2, keepdims=True) * confusions.sum(axis=1, keepdims=True) / totals
    with np.errstate(invalid="ignore", divide="ignore"):
        kappas: NDArray[np.float64] = 1 - (distance * confusions).sum(axis=(1, 2)) / (distance * expected).sum(
            axis=(1, 2)
        )
    return kappas

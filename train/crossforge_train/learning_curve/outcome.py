"""`LearningCurve`: what several amounts of labels reached on dev, and what the next ones are expected to bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crossforge_train.evaluation.dev_values import DevValues
from crossforge_train.evaluation.metrics import mean
from crossforge_train.evaluation.significance import bootstrap_interval
from crossforge_train.evaluation.systems import RERANKER, SHIPPED
from crossforge_train.learning_curve.fitting import Curve, Form, fit_curve

MORE = (100, 300, 1000)

# A curve is read off up to so many times as many labels as there are. It was fitted to a range of eight times, and
# with known curves its intervals hold as often as they should there (benchmarks/learning_curve.py).
FARTHEST = 4

LEAST_QUERIES = 20  # on dev; with fewer, single queries draw the curve
LEAST_TRAININGS = 3
_RESAMPLES = 1000
_DRAWN = 25  # points of the curve on the page


@dataclass(frozen=True)
class Training:
    """A training on a share of the labels.

    Attributes:
        share: of the labelled training queries, such as "1/8".
        queries: how many these are.
        measured: what it reached on dev; None if it failed.
        reason: why it failed; None if it did not.
    """

    share: str
    queries: int
    measured: DevValues | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Point:
    """What a training reached on dev.

    Attributes:
        share: of the labelled training queries.
        queries: how many these are.
        fusion_weight: share of the first stage in what ships.
        means: system -> mean metric, of the first stage, the best free alternative, the reranker and what ships.
        reason: why the training failed, in which case there is nothing else; None if it did not.
    """

    share: str
    queries: int
    fusion_weight: float | None = None
    means: Mapping[str, float] | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Forecast:
    """What more labelled queries are expected to bring.

    Attributes:
        more: how many more.
        gain: in the metric; None if that cannot be said.
        interval: its 95% interval.
        why: why it cannot be said; None if it can.
    """

    more: int
    gain: float | None = None
    interval: tuple[float, float] | None = None
    why: str | None = None


@dataclass(frozen=True)
class SystemCurve:
    """The learning curve of one system.

    Attributes:
        system: the reranker alone, or what ships.
        queries: labelled queries of each training that did not fail, ascending.
        means: mean metric of each.
        intervals: their 95% intervals, bootstrapped over dev queries.
        change: from the first to the last of them.
        change_interval: its 95% interval, of the paired differences by dev query.
        form: what the points settle of the curve; None if none is fitted.
        curve: (labelled queries, lower end, median, upper end) along the fitted curve.
        forecasts: what more labels are expected to bring.
    """

    system: str
    queries: Sequence[int]
    means: Sequence[float]
    intervals: Sequence[tuple[float, float]]
    change: float
    change_interval: tuple[float, float]
    form: Form | None
    curve: Sequence[tuple[float, float, float, float]]
    forecasts: Sequence[Forecast]

    @property
    def rises(self) -> bool:
        """Whether these dev queries show that more labels made it better."""
        return self.change_interval[0] > 0


@dataclass(frozen=True)
class LearningCurve:
    """How much the labels have brought, and what more of them are expected to bring.

    Attributes:
        title: name of the run.
        collection: name of the collection.
        metric: the measure.
        dev_queries: how many queries it was measured on.
        depth: how many candidates were reranked.
        labelled: labelled training queries.
        points: what each share of them reached.
        best_free: name of the best free alternative; None if there is none.
        curves: of what ships, and of the reranker alone.
        page: path of the HTML page.
        judges: who says what is relevant to the queries of train and dev -> how many of them, by split.
    """

    title: str
    collection: str
    metric: str
    dev_queries: int
    depth: int
    labelled: int
    points: Sequence[Point]
    best_free: str | None
    curves: Sequence[SystemCurve]
    page: str
    judges: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def last(self) -> Mapping[str, float]:
        """System -> mean metric with all labels."""
        return self.points[-1].means or {}


def make_learning_curve(
    title: str,
    collection: str,
    trainings: Sequence[Training],
    seed: int,
    page: str,
    judges: Mapping[str, Mapping[str, int]],
) -> LearningCurve:
    """Put together what the trainings reached.

    Args:
        title: name of the run.
        collection: name of the collection.
        trainings: by ascending number of labels; the last one, with all of them, did not fail.
        seed: of the resampling.
        page: path of the HTML page.
        judges: see `LearningCurve`.
    """
    whole = trainings[-1].measured
    assert whole is not None  # noqa: S101 - for the type checker
    curves = [_system_curve(system, trainings, seed) for system in (SHIPPED, RERANKER)]
    return LearningCurve(
        title,
        collection,
        whole.metric,
        len(whole.values[SHIPPED]),
        whole.depth,
        trainings[-1].queries,
        [_point(training) for training in trainings],
        whole.best_free,
        curves,
        page,
        judges,
    )


def _point(training: Training) -> Point:
    measured = training.measured
    if measured is None:
        return Point(training.share, training.queries, reason=training.reason)
    means = {system: mean(values) for system, values in measured.values.items()}
    return Point(training.share, training.queries, measured.fusion_weight, means)


def _system_curve(system: str, trainings: Sequence[Training], seed: int) -> SystemCurve:
    done = [(training.queries, training.measured) for training in trainings if training.measured]
    asked = list(done[-1][1].values[system])
    values = np.array([[measured.values[system][query_id] for query_id in asked] for _, measured in done])
    amounts = [queries for queries, _ in done]
    difference = values[-1] - values[0]
    interval = bootstrap_interval(difference, _RESAMPLES, seed)
    why = _why_not(values, interval)
    curve = None if why else fit_curve(amounts, values, seed)
    return SystemCurve(
        system,
        amounts,
        [float(found) for found in values.mean(axis=1)],
        [bootstrap_interval(found, _RESAMPLES, seed) for found in values],
        float(difference.mean()),
        interval,
        curve.form if curve else None,
        _drawn(curve, amounts) if curve else [],
        [_forecast(curve, amounts[-1], more, why) for more in MORE],
    )


def _why_not(values: NDArray[np.float64], change: tuple[float, float]) -> str | None:
    """Why no curve is fitted; None if one is."""
    trainings, queries = values.shape
    if trainings < LEAST_TRAININGS:
        return f"{trainings} trainings are no curve; at least {LEAST_TRAININGS} have to succeed"
    if queries < LEAST_QUERIES:
        return f"dev has {queries} queries, and a curve needs {LEAST_QUERIES}; judge more"
    if change[1] < 0:
        return "more labels have made it worse so far, which no learning curve explains; look for wrong labels"
    return None


def _forecast(curve: Curve | None, labelled: int, more: int, why: str | None) -> Forecast:
    if curve is None:
        return Forecast(more, why=why)
    times = (labelled + more) / labelled
    if times > FARTHEST:
        return Forecast(
            more,
            why=f"there would be {times:.1f} times as many as now, and the curve is trusted up to {FARTHEST} times",
        )
    low, gain, high = curve.gain(labelled, more)
    return Forecast(more, gain, (low, high))


def _drawn(curve: Curve, amounts: Sequence[int]) -> list[tuple[float, float, float, float]]:
    end = min(FARTHEST * amounts[-1], amounts[-1] + MORE[-1])
    along = np.geomspace(amounts[0], end, _DRAWN)
    return [(float(queries), *curve.interval(float(queries))) for queries in along]

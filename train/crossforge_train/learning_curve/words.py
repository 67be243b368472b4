"""A learning curve in sentences and cells, the same on the screen and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from crossforge_train.collections.collection import by_whom_each
from crossforge_train.evaluation.systems import FIRST_STAGE, RERANKER, SHIPPED
from crossforge_train.learning_curve.outcome import Forecast, LearningCurve, Point, SystemCurve
from crossforge_train.report.tables import interval, number, signed

# How it was measured, as sentences without their first capital and full stop.
RULES = (
    "measured on dev, where checkpoint and fusion weight are chosen, too: quality there is slightly flattered; the "
    "test splits were not measured",
    "each share of the labelled queries holds those before it; the documents are the same, and so is the first stage, "
    "unless it has learned from the labels",
    "a curve is a power law, quality = a - b / n^c of n labelled queries, fitted to each of 400 resamples of the dev "
    "queries; where the trainings do not settle c, each resample draws it between 0.1 and 1, and the intervals widen",
    "intervals cover which dev queries were asked, and how far the trainings lie off the curve; labels of another kind "
    "than those so far may bring more or less",
)


def summary_line(found: LearningCurve) -> str:
    """What all labels have brought, beside what needs none, in one sentence."""
    last = found.last
    free = f", the best free alternative ({found.best_free}) {number(last[found.best_free])}" if found.best_free else ""
    return (
        f"With all {found.labelled:,} labelled queries, {found.metric} on {found.dev_queries:,} dev queries is "
        f"{number(last[SHIPPED])} as shipped and {number(last[RERANKER])} for the reranker alone; the first stage has "
        f"{number(last[FIRST_STAGE])}{free}"
    )


def judges_line(found: LearningCurve) -> str:
    """Who says what is relevant, and so what more labelled queries means, in one sentence."""
    said = by_whom_each(found.judges)
    return f"Judged by {said}; the forecast assumes that further labels come from the same source as those of train"


def curve_lines(found: LearningCurve) -> list[str]:
    """For each system, what more labels are expected to bring, in one sentence."""
    return [f"{curve.system}: {_expected(curve.forecasts)}{_doubt(curve)}" for curve in found.curves]


def _expected(forecasts: Sequence[Forecast]) -> str:
    whys = {found.why for found in forecasts}
    if len(whys) == 1 and (why := forecasts[0].why):
        return f"what more labels would bring cannot be said: {why}"
    return "; ".join(_one(found) for found in forecasts)


def _one(found: Forecast) -> str:
    if found.gain is None or found.interval is None:
        return f"what {found.more:,} more would bring cannot be said: {found.why}"
    return f"{found.more:,} more labelled queries are expected to bring {signed(found.gain)} {interval(found.interval)}"


def _doubt(curve: SystemCurve) -> str:
    """That these dev queries do not show that labels help at all, unless they do, or nothing is expected of more."""
    if curve.rises or curve.form is None:
        return ""
    return (
        f"; but that labels help is not shown: from {curve.queries[0]:,} to {curve.queries[-1]:,} of them it changed "
        f"by {signed(curve.change)} {interval(curve.change_interval)}"
    )


def points_header(found: LearningCurve) -> list[str]:
    """The column titles that go with `points_rows`."""
    free = ["best free alternative"] if found.best_free else []
    return ["share", "labelled queries", FIRST_STAGE, *free, RERANKER, SHIPPED, "fusion weight"]


def points_rows(found: LearningCurve) -> list[list[str]]:
    """One row for each training that did not fail."""
    return [_row(point, free=found.best_free is not None) for point in found.points if point.means is not None]


def failures(found: LearningCurve) -> list[str]:
    """Why trainings failed, a line each."""
    return [
        f"the training on {point.share} ({point.queries:,} queries) failed: {point.reason}"
        for point in found.points
        if point.reason
    ]


def forecast_header(found: LearningCurve) -> list[str]:
    """The column titles that go with `forecast_rows`."""
    return ["more labelled queries", *(curve.system for curve in found.curves)]


def forecast_rows(found: LearningCurve) -> list[list[str]]:
    """One row for each number of further labels."""
    columns = [[_cell(forecast) for forecast in curve.forecasts] for curve in found.curves]
    amounts = [f"{forecast.more:,}" for forecast in found.curves[0].forecasts]
    return [[amount, *cells] for amount, *cells in zip(amounts, *columns, strict=True)]


def _row(point: Point, *, free: bool) -> list[str]:
    means = point.means or {}
    others = [value for system, value in means.items() if system not in (FIRST_STAGE, RERANKER, SHIPPED)]
    best_free = [number(others[0] if others else None)] if free else []
    cells = [number(means[FIRST_STAGE]), *best_free, number(means[RERANKER]), number(means[SHIPPED])]
    return [point.share, f"{point.queries:,}", *cells, f"{point.fusion_weight:g}"]


def _cell(found: Forecast) -> str:
    if found.gain is None or found.interval is None:
        return "cannot be said"
    return f"{signed(found.gain)} {interval(found.interval)}"

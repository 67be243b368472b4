"""Draws a learning curve, in the style of the report's plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossforge_train.evaluation.systems import FIRST_STAGE, SHIPPED
from crossforge_train.learning_curve.outcome import LearningCurve, SystemCurve
from crossforge_train.report.plots import FIRST, GOOD, MUTED, SECOND, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_plot(found: LearningCurve) -> str:
    """Quality over the number of labelled queries: what was measured, the fitted curves, and what needs no labels."""
    with drawing() as (axes, svg):
        for curve in found.curves:
            _draw(axes, curve, FIRST if curve.system == SHIPPED else GOOD)
        axes.axhline(found.last[FIRST_STAGE], linestyle="--", color=SECOND, label=FIRST_STAGE)
        if found.best_free:
            axes.axhline(found.last[found.best_free], linestyle=":", color=MUTED, label=found.best_free)
        axes.axvline(found.labelled, color=MUTED, linewidth=0.8)
        axes.set_xscale("log")
        ticks = sorted({point.queries for point in found.points} | {round(_end(found))})
        axes.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="labelled training queries", ylabel=f"dev {found.metric}")
        axes.legend(fontsize=8)
    return svg[0]


def _draw(axes: Axes, curve: SystemCurve, colour: str) -> None:
    low, high = zip(*curve.intervals, strict=True)
    axes.vlines(curve.queries, low, high, color=colour, linewidth=1, alpha=0.5)
    axes.plot(curve.queries, curve.means, "o", markersize=5, color=colour, label=curve.system)
    if curve.curve:
        along, lowest, middle, highest = zip(*curve.curve, strict=True)
        axes.plot(along, middle, "-", color=colour, linewidth=1.2)
        axes.fill_between(along, lowest, highest, color=colour, alpha=0.12, linewidth=0)


def _end(found: LearningCurve) -> float:
    """How far the curves are drawn."""
    return max((curve.curve[-1][0] for curve in found.curves if curve.curve), default=found.labelled)

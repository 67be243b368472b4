"""The report's plots as SVG. Colours come from the page, so that one drawing fits light, dark and print."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import nan
from typing import TYPE_CHECKING

from crossforge_train.evaluation.calibration import Reliability, ScoreHistogram
from crossforge_train.evaluation.curves import DepthCurve, LatencyPoint
from crossforge_train.evaluation.outcome import TrainingCurves
from crossforge_train.evaluation.systems import FIRST_STAGE, PERFECT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Placeholders for the page's own colours, which `page.html.j2` defines for light, dark and print.
INK, MUTED, GRID, FIRST, SECOND, GOOD, BAD = (f"#0000{number:02x}" for number in range(0xF1, 0xF8))
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid", FIRST: "--first", SECOND: "--second", GOOD: "--good", BAD: "--bad",
}  # fmt: skip
_NO_WIDTH = "\u200b"
_SIZE = (6.0, 3.4)
_STYLE = {
    "svg.fonttype": "none",  # text stays text: selectable, and in the page's font
    "svg.hashsalt": "crossforge",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a system's name may hold a dollar sign
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def gains_plot(gains: Sequence[float], metric: str) -> str:
    """The gain of each query, sorted."""
    with drawing() as (axes, svg):
        positions = range(len(gains))
        axes.bar(positions, gains, width=1.0, color=[GOOD if gain > 0 else BAD for gain in gains])
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set(xlabel="queries, from most lost to most gained", ylabel=f"difference of {metric}")
        axes.set_xticks([])
        axes.margins(x=0)
        axes.grid(axis="x", visible=False)
    return svg[0]


def depth_plot(curve: DepthCurve, metric: str) -> str:
    """Quality against rerank depth."""
    colours = _colours(curve.values)
    with drawing() as (axes, svg):
        for name, values in curve.values.items():
            line = ":" if name == PERFECT else "--" if name == FIRST_STAGE else "-"
            axes.plot(curve.depths, values, line, marker="o", markersize=4, color=colours[name], label=_label(name))
        axes.set_xscale("log")
        axes.set_xticks(curve.depths, labels=[str(depth) for depth in curve.depths])
        axes.minorticks_off()
        axes.set(xlabel="candidates that are reranked", ylabel=metric)
        axes.legend()
    return svg[0]


def latency_plot(points: Sequence[LatencyPoint], metric: str) -> str:
    """Quality against the time per query."""
    from matplotlib.ticker import NullFormatter

    names = list(dict.fromkeys(point.system for point in points))
    colours = _colours(names)
    with drawing() as (axes, svg):
        for name in names:
            found = [point for point in points if point.system == name]
            times, qualities = [point.milliseconds for point in found], [point.quality for point in found]
            axes.plot(times, qualities, "-", marker="o", markersize=5, color=colours[name], label=_label(name))
            for point in found if len(found) > 1 else ():
                axes.annotate(str(point.depth), (point.milliseconds, point.quality), (4, 4), textcoords="offset points")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="milliseconds per query (labels: candidates)", ylabel=metric)
        axes.legend()
    return svg[0]


def reliability_plot(found: Reliability) -> str:
    """Predicted probability against the share that is relevant; larger points stand for more candidates."""
    most = max((each.documents for each in found.bins), default=1)
    # Where few candidates are relevant, all there is to see lies in the lower left corner.
    end = 1.15 * max((max(each.probability, each.relevant) for each in found.bins), default=1.0)
    with drawing() as (axes, svg):
        axes.plot([0, end], [0, end], "--", color=MUTED, linewidth=1)
        axes.plot(
            [each.probability for each in found.bins], [each.relevant for each in found.bins], "-", color=FIRST,
            linewidth=1,
        )  # fmt: skip
        for each in found.bins:
            size = 20 + 100 * each.documents / most
            axes.scatter([each.probability], [each.relevant], s=size, color=FIRST, zorder=3)
            axes.annotate(
                f"{each.documents:,}", (each.probability, each.relevant), (7, -9), textcoords="offset points",
                fontsize=8, color=MUTED,
            )  # fmt: skip
        axes.set(
            xlabel="probability", ylabel="share that is relevant", xlim=(-0.03 * end, end), ylim=(-0.05 * end, end)
        )
    return svg[0]


def histogram_plot(found: ScoreHistogram) -> str:
    """Distribution of the scores of relevant candidates and of all others, each normalized by its own count."""
    with drawing() as (axes, svg):
        for counts, colour, name in ((found.others, SECOND, "others"), (found.relevant, FIRST, "relevant")):
            total = sum(counts)
            shares = [count / total if total else 0.0 for count in counts]
            axes.stairs(shares, found.edges, fill=True, alpha=0.45, color=colour, label=f"{name} ({total:,})")
        axes.set(xlabel="logit", ylabel="share of candidates")
        axes.legend()
    return svg[0]


def training_plot(curves: TrainingCurves, metric: str) -> str:
    """Training loss, and the metric on dev next to the first stage's."""
    with drawing() as (axes, svg):
        axes.plot(curves.steps, curves.loss, color=SECOND, label="training loss")
        axes.set(xlabel="step", ylabel="training loss")
        right = axes.twinx()
        right.grid(visible=False)
        right.plot(curves.dev_steps, curves.dev, "o-", color=FIRST, markersize=5, label="reranker alone, dev")
        if curves.fused:
            fused = [nan if value is None else value for value in curves.fused]
            right.plot(curves.dev_steps, fused, "s-", color=GOOD, markersize=5, label="fused, dev")
        right.axhline(curves.first_stage_dev, linestyle="--", color=MUTED, label=f"{FIRST_STAGE}, dev")
        right.set_ylabel(f"dev {metric}")
        handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return svg[0]


def _label(name: str) -> str:
    """A system's name in a legend; matplotlib would leave out one that begins with an underscore."""
    return f"{_NO_WIDTH}{name}" if name.startswith("_") else name


def _colours(names: Iterable[str]) -> dict[str, str]:
    fixed = {FIRST_STAGE: SECOND, PERFECT: MUTED}
    found = list(names)
    others = [name for name in found if name not in fixed]
    # What is shown for its own sake comes last: "reranker alone" before "as shipped".
    cycle = dict(zip(reversed(others), [FIRST, GOOD, BAD, INK] * len(others), strict=False))
    return {name: fixed.get(name) or cycle[name] for name in found}


@contextmanager
def drawing() -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on, and a list that receives the SVG on exit. Leaves pyplot's global state alone."""
    import matplotlib
    from matplotlib.figure import Figure

    svg: list[str] = []
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE)
        yield figure.add_subplot(), svg
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg.append(_for_the_page(out.getvalue()))


def _for_the_page(svg: str) -> str:
    """The bare `<svg>` element with the page's colours and font, and without sizes or ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'<g id="[^"]+">', "<g>", svg)
    svg = re.sub(r"font: [^;\"]*?(\d+)px[^;\"]*", r"font: \1px system-ui, sans-serif", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg

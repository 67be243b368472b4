"""`report.html`: one page that needs no other file."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from crossforge_train.collections.agreement import Agreement
from crossforge_train.evaluation.budget import Budget
from crossforge_train.evaluation.outcome import Report
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.evaluation.system_orders import SystemOrders
from crossforge_train.evaluation.threshold import THRESHOLD_RULE
from crossforge_train.evaluation.verdict import CORRECTION_RULE
from crossforge_train.report import plots
from crossforge_train.report.causes import cause_in_words, loss_in_words, not_read_in_words
from crossforge_train.report.rendering import rendered
from crossforge_train.report.tables import (
    SHIPS,
    agreement_header,
    agreement_line,
    agreement_rows,
    budget_header,
    budget_line,
    budget_rows,
    guard_line,
    mixed_in,
    number,
    orders_header,
    orders_line,
    orders_rows,
    remarks,
    signed,
    table_header,
    table_rows,
    verdict_lines,
    warning_lines,
    with_article,
)

_TEMPLATE = "page.html.j2"
_SHOWN_LOST = 15
_FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "mixed_in": mixed_in,
    "remarks": remarks,
    "signed": signed,
    "with_article": with_article,
    "cause_in_words": cause_in_words,
    "loss_in_words": loss_in_words,
    "not_read_in_words": not_read_in_words,
}


def page(report: Report) -> str:
    """The report as HTML, with all text from outside escaped."""
    from markupsafe import Markup

    training = plots.training_plot(report.training, report.metric) if report.training else None
    values = {
        "report": report,
        "budget": report.budget and _budget(report.budget, report.metric),
        "agreement": report.agreement and _agreement(report.agreement),
        "orders": report.agreement and report.orders and _orders(report.orders, report.agreement),
        "guard": report.guard and guard_line(report.guard),
        "splits": [(split, _parts(split, report.metric)) for split in report.splits],
        "training_plot": training and Markup(training),  # noqa: S704 - made by us, and it holds no text from outside
        "correction_rule": CORRECTION_RULE,
        "threshold_rule": THRESHOLD_RULE,
        "shown_lost": _SHOWN_LOST,
    }
    return rendered(files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"), values, _FILTERS)


def _budget(budget: Budget, metric: str) -> dict[str, Any]:
    rows = budget_rows(budget)
    return {"line": budget_line(budget), "header": budget_header(budget, metric), "rows": rows, "mark": SHIPS}


def _agreement(found: Agreement) -> dict[str, Any]:
    return {"line": agreement_line(found), "header": agreement_header(found), "rows": agreement_rows(found)}


def _orders(found: SystemOrders, agreement: Agreement) -> dict[str, Any]:
    return {"line": orders_line(found, agreement), "header": orders_header(found), "rows": orders_rows(found)}


def _parts(split: SplitReport, metric: str) -> dict[str, Any]:
    """The cells, sentences and plots that the template cannot work out for itself."""
    return {
        "header": table_header(split, metric),
        "rows": table_rows(split, metric),
        "verdicts": verdict_lines(split, metric),
        "warnings": warning_lines(split, metric),
        "plots": _plots(split, metric),
    }


def _plots(split: SplitReport, metric: str) -> list[tuple[str, str, Any]]:
    """(title, explanation, drawing) of each plot."""
    from markupsafe import Markup

    found = [
        (
            "Gain by query",
            f"{split.subject} against {split.baseline}, one bar per query.",
            plots.gains_plot(split.gains, metric),
        )
    ]
    if details := split.details:
        curve, reliability = details.depth_curve, details.reliability
        found += [
            ("Rerank depth", f"Over {curve.queries} queries.", plots.depth_plot(curve, metric)),
            (
                "Reliability",
                f"Expected calibration error {number(reliability.ece)}, log loss {number(reliability.log_loss)} "
                f"(always the base rate: {number(reliability.base_log_loss)}). Labels count candidates.",
                plots.reliability_plot(reliability),
            ),
            ("Scores", "Logits of relevant candidates and of all others.", plots.histogram_plot(reliability.histogram)),
        ]
        if details.latency:
            found.append(
                (
                    "Latency",
                    f"Median time of a single query on this machine; quality over {curve.queries} queries.",
                    plots.latency_plot(details.latency, metric),
                )
            )
    return [(title, text, Markup(svg)) for title, text, svg in found]  # noqa: S704 - made by us

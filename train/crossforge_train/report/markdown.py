"""`report.md`, which is also part of the model card. It quotes no documents and no queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crossforge_train.collections.agreement import Agreement
from crossforge_train.evaluation.budget import Budget
from crossforge_train.evaluation.outcome import Report
from crossforge_train.evaluation.split_report import Details, SplitReport
from crossforge_train.evaluation.system_orders import SystemOrders
from crossforge_train.evaluation.verdict import CORRECTION_RULE
from crossforge_train.report.causes import cause_in_words, not_read_in_words
from crossforge_train.report.escaping import plain
from crossforge_train.report.tables import (
    agreement_header,
    agreement_line,
    agreement_rows,
    budget_header,
    budget_line,
    budget_rows,
    guard_line,
    number,
    orders_header,
    orders_line,
    orders_rows,
    remarks,
    table_header,
    table_rows,
    verdict_lines,
    warning_lines,
)


def markdown(report: Report) -> str:
    """The report as Markdown, without headings."""
    parts = [f"Verdict: **{report.verdict}**", ""]
    for split in map(_with_plain_names, report.splits):
        parts += _split(split, report.metric)
    if report.guard:
        guard = replace(
            report.guard,
            collection=plain(report.guard.collection),
            split=plain(report.guard.split),
            judges=_plain_keys(report.guard.judges),
        )
        parts += [f"General knowledge: {guard_line(guard)}.", ""]
    if report.budget:
        parts += _budget(report.budget, report.metric)
    if report.agreement:
        parts += _agreement(report.agreement)
    if report.agreement and report.orders:
        parts += _orders(report.orders, report.agreement)
    parts += [_how_measured(report), ""]
    return "\n".join(parts)


def _with_plain_names(split: SplitReport) -> SplitReport:
    """The same figures; those names that come from outside, of files and folders, are Markdown for themselves."""
    return replace(
        split,
        split=plain(split.split),
        subject=plain(split.subject),
        baseline=plain(split.baseline),
        judges=_plain_keys(split.judges),
        systems=[replace(system, name=plain(system.name)) for system in split.systems],
        comparisons=[
            replace(found, system=plain(found.system), baseline=plain(found.baseline)) for found in split.comparisons
        ],
    )


def _plain_keys(judges: Mapping[str, int]) -> dict[str, int]:
    return {plain(who): count for who, count in judges.items()}


def _split(split: SplitReport, metric: str) -> list[str]:
    header = table_header(split, metric)
    lines = [*verdict_lines(split, metric), *warning_lines(split, metric)]
    parts = [f"**{split.split}**, {split.subject}:", "", *(f"- {line}" for line in lines), ""]
    parts += [_row(header), _row(["---"] * len(header)), *map(_row, table_rows(split, metric)), ""]
    for remark in remarks(split):
        parts += [f"{remark}.", ""]
    return parts + (_details(split.details) if split.details else [])


def _budget(budget: Budget, metric: str) -> list[str]:
    header = budget_header(budget, metric)
    return [
        f"Quality against latency, {budget_line(budget)}:",
        "",
        *map(_row, (header, ["---"] * len(header), *budget_rows(budget))),
        "",
    ]


def _agreement(found: Agreement) -> list[str]:
    rows, header = agreement_rows(found), agreement_header(found)
    table = [*map(_row, (header, ["---"] * len(header), *rows)), ""] if rows else []
    return [f"{agreement_line(replace(found, judge=plain(found.judge)))}.", "", *table]


def _orders(found: SystemOrders, agreement: Agreement) -> list[str]:
    header, rows = orders_header(found), [[plain(name), *cells] for name, *cells in orders_rows(found)]
    line = orders_line(found, replace(agreement, judge=plain(agreement.judge)))
    table = [*map(_row, (header, ["---"] * len(header), *rows)), ""] if rows else []
    return [f"{line}.", "", *table]


def _details(details: Details) -> list[str]:
    reliability, threshold = details.reliability, details.threshold
    causes = ", ".join(f"{count} {cause_in_words(cause)}" for cause, count in details.diagnosis.causes.items() if count)
    not_read = not_read_in_words(details.diagnosis)
    lines = [
        f"- Probabilities ({reliability.method}): expected calibration error {number(reliability.ece)}, log loss "
        f"{number(reliability.log_loss)} (always the base rate: {number(reliability.base_log_loss)}).",
        f"- Relevant documents: {causes}{f'; {not_read}' if not_read else ''}.",
    ]
    if threshold:
        lines.append(
            f'- "Nothing relevant here", if no probability reaches {number(threshold.threshold)}: precision '
            f"{number(threshold.precision)}, recall {number(threshold.recall)}."
        )
    return [*lines, ""]


def _how_measured(report: Report) -> str:
    weight = "" if report.tuned is None else f" Fusion weight, chosen on dev: {report.tuned.fusion_weight:g}."
    first_stage = f"First stage: {plain(report.first_stage)}. " if report.first_stage else ""
    return (
        f"{first_stage}The first {report.depth} candidates of each query are reranked ({report.backend} backend); "
        f"{report.counting_rule}. Intervals are bootstrapped over queries; p is from a paired randomization test, "
        f"{CORRECTION_RULE}.{weight}"
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"

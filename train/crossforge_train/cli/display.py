"""All output: progress and notes on standard error, results on standard output."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from crossforge.explanation import COLUMNS, NOT_RERANKED, cells_of
from crossforge_train import processes
from crossforge_train.reporting import Advance, Reporter, SilentReporter

if TYPE_CHECKING:
    from crossforge.explanation import Explanation
    from crossforge.results import RankedResults, Result
    from crossforge_train.evaluation.outcome import Report
    from crossforge_train.mining.counts import MiningCounts
    from crossforge_train.mining.report import MiningReport, RankBand
    from crossforge_train.sweep.runner import Sweep

# Into a file or a pipe, rich would squeeze every table into 80 columns.
_PIPE_WIDTH = 120

console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
error_console = Console(stderr=True, highlight=False)

_COLOURS = {"WIN": "green", "TIE": "yellow", "REGRESSION": "red"}


@dataclass(frozen=True)
class Output:
    """What to print: `quiet` leaves out progress, `as_json` prints one JSON value for machines, `yes` asks nothing."""

    quiet: bool = False
    as_json: bool = False
    yes: bool = False

    def reporter(self) -> Reporter:
        """Where progress goes, and who is asked before anything is paid for."""
        asks = not self.yes and processes.is_main() and _somebody_is_there()
        if self.quiet or self.as_json or not processes.is_main():
            return _QuietReporter() if asks else SilentReporter()
        return RichReporter(asks=asks)


def replace_unwritable() -> None:
    """From now on, standard output gets "?" for what its encoding lacks, such as lone surrogates."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _somebody_is_there() -> bool:
    """Whether a question would be seen, and could be answered."""
    return sys.stdin.isatty() and error_console.is_terminal


def _agreed(text: str) -> bool:
    try:
        answer = error_console.input(f"  {escape(text)}; go on? \\[y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def show_json(value: Any) -> None:
    """One JSON value on standard output; escaped where its encoding would lose characters."""
    escaped = not _is_writable(json.dumps(value, ensure_ascii=False))
    text = json.dumps(value, ensure_ascii=escaped)
    console.print_json(text, ensure_ascii=escaped) if console.is_terminal else console.out(text)


def _is_writable(text: str) -> bool:
    try:
        text.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True


class _QuietReporter(SilentReporter):
    """Shows nothing but the question whether to pay."""

    def confirm(self, text: str) -> bool:
        """See `Reporter`."""
        return _agreed(text)


class RichReporter:
    """Progress bars and notes on standard error; without a terminal, one line a bar instead.

    Args:
        asks: whether somebody is asked before anything is paid for.
    """

    def __init__(self, *, asks: bool = False) -> None:
        self._asks = asks
        self._bars: list[Progress] = []

    def started(self, stage: str) -> None:
        """See `Reporter`."""
        error_console.print(f"[bold]{stage}[/]")

    def finished(self, stage: str, seconds: float) -> None:
        """See `Reporter`."""
        error_console.print(f"  [dim]{stage}: {_duration(seconds)}[/]")

    def skipped(self, stage: str) -> None:
        """See `Reporter`."""
        error_console.print(f"[bold]{stage}[/] [dim]is already done[/]")

    def note(self, text: str) -> None:
        """See `Reporter`."""
        error_console.print(f"  {escape(text)}", soft_wrap=True)

    def confirm(self, text: str) -> bool:
        """See `Reporter`."""
        if not self._asks:
            self.note(text)
            return True
        for progress in reversed(self._bars):  # they would be drawn over the question
            progress.stop()
        try:
            return _agreed(text)
        finally:
            for progress in self._bars:
                progress.start()

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """See `Reporter`. Bars may stand inside one another."""
        if not error_console.is_terminal:
            error_console.print(f"  {escape(title)} …", soft_wrap=True)
            last = ""

            def remember(done: int = 1, text: str = "", total: int | None = None) -> None:
                nonlocal last
                last = text or last

            yield remember
            if last:
                error_console.print(f"  {escape(title)}: {escape(last)}", soft_wrap=True)
            return
        columns = (
            TextColumn("  {task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("[dim]{task.fields[text]}"),
        )  # fmt: skip
        with Progress(*columns, console=error_console, transient=True) as progress:
            task = progress.add_task(escape(title), total=total, text="")
            self._bars.append(progress)

            def advance(done: int = 1, text: str = "", total: int | None = None) -> None:
                shown = escape(text) or progress.tasks[task].fields["text"]
                progress.update(task, advance=done, text=shown, total=total)

            try:
                yield advance
            finally:
                self._bars.remove(progress)


def show_report(report: Report) -> None:
    """One table a test split, with its verdict."""
    from crossforge_train.evaluation.verdict import CORRECTION_RULE
    from crossforge_train.report.tables import (
        agreement_line,
        budget_header,
        budget_line,
        budget_rows,
        guard_line,
        orders_line,
        remarks,
        table_header,
        table_rows,
        verdict_lines,
        warning_lines,
    )

    for split in report.splits:
        table = Table(title=f"test split: {escape(split.split)}", title_justify="left", title_style="bold")
        for number, title in enumerate(table_header(split, report.metric)):
            table.add_column(escape(title), justify="left" if number == 0 else "right", no_wrap=number > 0)
        for row in table_rows(split, report.metric):
            table.add_row(*map(escape, row), style="bold" if row[0] == split.subject else None)
        console.print(table)
        decisive = [found for found in split.comparisons if found.decisive]
        for found, line in zip(decisive, verdict_lines(split, report.metric), strict=True):
            console.print(f"[bold {_COLOURS[found.verdict]}]{escape(line)}[/]", soft_wrap=True)
        for line in warning_lines(split, report.metric):
            console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
        for remark in remarks(split):
            console.print(f"[dim]{escape(remark)}[/]", soft_wrap=True)
        console.print()
    if report.guard:
        colour = "green" if report.guard.outcome == "HELD" else "yellow"
        console.print(f"[{colour}]{escape(guard_line(report.guard))}[/]\n", soft_wrap=True)
    if report.agreement:
        console.print(f"{escape(agreement_line(report.agreement))}\n", soft_wrap=True)
    if report.agreement and report.orders:
        console.print(f"{escape(orders_line(report.orders, report.agreement))}\n", soft_wrap=True)
    if report.budget:
        table = Table(title="quality against latency", title_justify="left", title_style="bold")
        for title in budget_header(report.budget, report.metric):
            table.add_column(escape(title), justify="left" if title == "backend" else "right")
        for row in budget_rows(report.budget):
            table.add_row(*map(escape, row), style="bold" if row[-1] else None)
        console.print(table)
        console.print(f"{escape(budget_line(report.budget))}\n", soft_wrap=True)
    if report.first_stage:
        console.print(
            f"[dim]first stage: {escape(report.first_stage)}; {report.depth} candidates reranked[/]", soft_wrap=True
        )
    console.print(f"[dim]{report.counting_rule}; p values are {CORRECTION_RULE}[/]", soft_wrap=True)


def show_mining(report: MiningReport) -> None:
    """What became of the candidates, and the ranks that negatives come from."""
    table = Table(title=f"{report.groups:,} groups for {report.queries:,} queries", title_justify="left")
    table.add_column("candidates")
    table.add_column("count", justify="right")
    for name, count in _mining_rows(report.counts):
        table.add_row(escape(name), f"{count:,}")
    table.add_section()
    table.add_row("seen in total", f"{report.counts.candidates_seen:,}")
    table.add_row("queries without a candidate", f"{report.share_without_candidate:.1%}")
    console.print(table)
    bands = [(_band(band), band.negatives) for band in report.ranks] + [("not retrieved", report.not_retrieved)]
    total = max(1, sum(count for _, count in bands))
    ranks = Table(title="negatives by their rank in the first stage", title_justify="left")
    for title in ("rank", "count", ""):
        ranks.add_column(title, justify="right" if title == "count" else "left")
    for name, count in bands:
        ranks.add_row(name, f"{count:,}", "█" * round(40 * count / total))
    console.print(ranks)
    console.print(f"{report.suspects:,} negatives that may be relevant: suspects.tsv, for `crossforge judge`\n")


_DROPPED = {
    "known_positive": "known positive",
    "copy_of_a_positive": "copy of a positive",
    "above_margin": "above the teacher's margin",
}


def _mining_rows(counts: MiningCounts) -> list[tuple[str, int]]:
    """What became of the candidates, in words; what did not happen is left out."""
    rows = [
        *((f"negatives: {source}", count) for source, count in sorted(counts.negatives.items())),
        *((f"dropped: {_DROPPED.get(reason, reason)}", count) for reason, count in sorted(counts.dropped.items())),
        ("relabelled: above the teacher's margin", counts.relabelled),
        ("groups filled up with random negatives", counts.filled_up),
        ("groups with too few negatives: the corpus is too small", counts.too_few),
        ("groups left out: query too long for the teacher, or without a score", counts.unreadable),
    ]
    return [(name, count) for name, count in rows if count]


def _band(band: RankBand) -> str:
    return f"{band.first} and below" if band.last is None else f"{band.first}–{band.last}"


def show_sweep(sweep: Sweep) -> None:
    """The trials, best first, and how to train with the best values."""
    table = Table(title=f"{len(sweep.trials)} trials in {escape(sweep.folder)}", title_justify="left")
    for title in ("trial", f"dev {sweep.metric}", "first stage", *sweep.trials[0].values):
        table.add_column(escape(title), justify="right")
    for trial in sweep.trials:
        measures = ["[red]failed[/]", ""] if trial.dev is None else [f"{trial.dev:.4f}", f"{trial.first_stage_dev:.4f}"]
        table.add_row(str(trial.number), *measures, *(escape(_brief(value)) for value in trial.values.values()))
    console.print(table)
    for trial in sweep.trials:
        if trial.reason:
            console.print(f"[red]trial {trial.number} failed:[/] {escape(trial.reason)}", soft_wrap=True)
    console.print(f"train with the best values: [bold]{escape(sweep.command)}[/]", soft_wrap=True)


def show_results(results: RankedResults, first_stage: str | None = None) -> None:
    """Ranked documents, best first; `first_stage` names what retrieved them, if anything did."""
    if not len(results):
        console.print("nothing found")
        return
    table = Table(box=None, pad_edge=False, expand=True)
    for title in ("rank", *([first_stage, ""] if first_stage else []), "probability", "logit"):
        table.add_column(escape(title), justify="right", no_wrap=True)
    table.add_column("document", overflow="ellipsis", no_wrap=True, ratio=1)  # takes what the numbers leave
    for found in results:
        before = [str(found.first_stage_rank), _movement(found)] if first_stage else []
        table.add_row(str(found.rank), *before, f"{found.probability:.3f}", f"{found.score:+.2f}", _line(found))
    console.print(table)
    _say_if_not_reranked(results)


def show_side_by_side(
    results: RankedResults, limit: int, first_stage: str, origins: Mapping[str, Mapping[str, int]]
) -> None:
    """The first stage's order, under its name, and the reranked order next to each other.

    Args:
        results: all candidates in the reranked order.
        limit: how many rows.
        first_stage: its name.
        origins: document id -> part of the first stage -> rank, if it has parts; shown for the reranked documents.
    """
    before = sorted(results, key=lambda found: found.first_stage_rank or 0)
    table = Table(title=f"query: {escape(results.query)}", title_justify="left", title_style="bold")
    found_by = ["found by"] if origins else []
    for title in ("rank", first_stage, "reranked", *found_by, "moved", "probability"):
        table.add_column(escape(title), justify="left" if title in (first_stage, "reranked") else "right")
    for old, new in list(zip(before, results, strict=True))[:limit]:
        parts = [escape(_origin(origins.get(new.doc_id, {})))] if origins else []
        table.add_row(str(new.rank), _name(old), _name(new), *parts, _movement(new), f"{new.probability:.3f}")
    console.print(table)
    _say_if_not_reranked(results)


def _say_if_not_reranked(results: RankedResults) -> None:
    if not results.reranked:
        console.print(f"[yellow]{NOT_RERANKED}[/]", soft_wrap=True)


def _origin(ranks: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {rank}" for part, rank in ranks.items())


def show_explanation(explained: Explanation, limit: int) -> None:
    """The steps, and the first `limit` candidates of the final order with what became of each."""
    console.print(f"[bold]query: {escape(explained.query)}[/]")
    for number, step in enumerate(explained.steps, start=1):
        console.print(f"[dim]{number}.[/] {escape(step)}", soft_wrap=True)
    if not len(explained):
        return
    table = Table(box=None, pad_edge=False, expand=True)
    for title in COLUMNS[:-1]:
        table.add_column(title, justify="left" if title == "document" else "right", no_wrap=True)
    table.add_column(COLUMNS[-1], overflow="ellipsis", no_wrap=True, ratio=1)
    for row in explained[:limit]:
        rank, _, *others = map(escape, cells_of(row))
        table.add_row(rank, _arrow(row.movement), *others, style=None if row.above_threshold else "dim")
    console.print(table)


def show_facts(facts: Mapping[str, Any], title: str) -> None:
    """Names and values; a table within a table gets a line for each of its rows."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", show_header=False, box=None)
    for name, value in _flat(facts):
        table.add_row(f"[dim]{escape(name)}[/]", escape(value))
    console.print(table)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values()):
            yield from _flat(value, f"{prefix}{name}, ")
        else:
            yield f"{prefix}{name}", _brief(value)


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_brief(item)}" for name, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def as_dict(found: Result) -> dict[str, Any]:
    """A result as JSON gives it."""
    return {
        "rank": found.rank,
        "doc_id": found.doc_id,
        "score": found.score,
        "probability": found.probability,
        "first_stage_rank": found.first_stage_rank,
        "first_stage_score": found.first_stage_score,
        "title": found.title,
        "passage": found.passage,
        "truncated": found.truncated,
    }


def _movement(found: Result) -> str:
    return _arrow(found.movement or 0)


def _arrow(movement: int) -> str:
    if not movement:
        return "[dim]=[/]"
    return f"[green]▲{movement}[/]" if movement > 0 else f"[red]▼{-movement}[/]"


def _line(found: Result) -> str:
    text = " ".join(found.text.split())
    return f"[bold]{escape(found.title)}[/] {escape(text)}" if found.title else escape(text)


def _name(found: Result) -> str:
    return escape(found.title or " ".join(found.text.split())[:60])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""The command `budget`: how much data is enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from crossforge_train.cli.display import Output, console, show_json
from crossforge_train.cli.options import ConfigArgument, JsonOption, QuietOption, SetOption, YesOption

if TYPE_CHECKING:
    from crossforge_train.learning_curve.outcome import LearningCurve


def budget(
    config: ConfigArgument,
    overrides: SetOption = None,
    yes: YesOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train on shares of the labelled queries and say what more labels are expected to bring, measured on dev."""
    from crossforge_train.api import budgeting
    from crossforge_train.api.running import load_config

    output = Output(quiet, as_json, yes)
    found = budgeting.budget(load_config(config, overrides or []), reporter=output.reporter())
    if as_json:
        show_json(asdict(found))
    else:
        _show(found)


def _show(found: LearningCurve) -> None:
    from crossforge_train.learning_curve.words import (
        RULES,
        curve_lines,
        failures,
        forecast_header,
        forecast_rows,
        judges_line,
        points_header,
        points_rows,
        summary_line,
    )

    _table(f"{found.metric} on dev", points_header(found), points_rows(found))
    _table("expected gain", forecast_header(found), forecast_rows(found))
    for line in failures(found):
        console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
    for line in (summary_line(found), judges_line(found), *curve_lines(found)):
        console.print(f"{escape(line)}.", soft_wrap=True)
    console.print(f"[dim]{escape(RULES[0])}[/]", soft_wrap=True)
    console.print(f"learning curve: [bold]{escape(found.page)}[/]", soft_wrap=True)


def _table(title: str, header: list[str], rows: list[list[str]]) -> None:
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for name in header:
        table.add_column(escape(name), justify="right")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


COMMANDS: dict[str, Callable[..., None]] = {"budget": budget}

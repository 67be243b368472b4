"""The command `sweep`: which values of some keys train best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from crossforge_train.cli.display import Output, show_json, show_sweep
from crossforge_train.cli.options import ConfigArgument, JsonOption, QuietOption, SetOption, YesOption


def sweep(
    config: ConfigArgument,
    trials: Annotated[
        int | None, typer.Option(help="Number of trainings. Default: sweep.trials of the config.", min=1)
    ] = None,
    overrides: SetOption = None,
    yes: YesOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train with several values of the keys in sweep.space and show which did best on dev."""
    from crossforge_train.sweep.runner import run_sweep

    output = Output(quiet, as_json, yes)
    found = run_sweep(config, overrides or [], trials, output.reporter())
    if as_json:
        show_json(asdict(found))
    else:
        show_sweep(found)


COMMANDS: dict[str, Callable[..., None]] = {"sweep": sweep}

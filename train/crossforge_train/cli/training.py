"""The commands that make a reranker: train, and one a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from crossforge_train import processes
from crossforge_train.cli.display import Output, console, show_json, show_mining, show_report
from crossforge_train.cli.options import ConfigArgument, FreshOption, JsonOption, QuietOption, SetOption, YesOption

if TYPE_CHECKING:
    from crossforge_train.config.run import Config
    from crossforge_train.stage_folders import EvaluatedFolder, MinedFolder

_REGRESSION_STATUS = 2


class StageName(str, Enum):
    """The stages of a run, in order."""

    collect = "collect"
    mine = "mine"
    finetune = "finetune"
    evaluate = "evaluate"
    package = "package"


def train(
    config: ConfigArgument,
    overrides: SetOption = None,
    until: Annotated[StageName, typer.Option(help="The last stage to run.")] = StageName.package,
    fresh: FreshOption = False,
    yes: YesOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Run a recipe: collect, mine, finetune, evaluate, package. Finished stages are skipped."""
    return run_until(config, overrides or [], until, fresh, Output(quiet, as_json, yes))


def _one_stage(stage: StageName, description: str) -> Callable[..., int]:
    def command(
        config: ConfigArgument,
        overrides: SetOption = None,
        fresh: FreshOption = False,
        yes: YesOption = False,
        quiet: QuietOption = False,
        as_json: JsonOption = False,
    ) -> int:
        return run_until(config, overrides or [], stage, fresh, Output(quiet, as_json, yes))

    command.__doc__ = description
    return command


COMMANDS: dict[str, Callable[..., int]] = {
    "train": train,
    "collect": _one_stage(StageName.collect, "Read and check the collection, and fix its splits."),
    "mine": _one_stage(StageName.mine, "Mine hard negatives. Runs the stage before it unless finished."),
    "finetune": _one_stage(StageName.finetune, "Fine-tune the reranker. Runs the stages before it unless finished."),
    "package": _one_stage(StageName.package, "Package the reranker. Runs the stages before it unless finished."),
}


def run_until(path: Path, overrides: list[str], until: StageName, fresh: bool, output: Output) -> int:
    """Run the stages of a config file up to one of them, show what came out, and return the exit status."""
    from crossforge_train.api.running import load_config

    return run_config(load_config(path, overrides), until, fresh, output)


def run_config(config: Config, until: StageName, fresh: bool, output: Output) -> int:
    """Run the stages of a config up to one of them, show what came out, and return the exit status."""
    from crossforge_train.api.running import run
    from crossforge_train.run_folder import RunFolder
    from crossforge_train.stages.package import RegressionError

    refusal: RegressionError | None = None
    try:
        run(config, until=until.value, fresh=fresh, reporter=output.reporter())
    except RegressionError as error:
        refusal = error
    if not processes.is_main():
        return 0
    folder = RunFolder(config.folder)
    facts: dict[str, Any] = {"folder": str(folder.stage(until.value))}
    if until in (StageName.evaluate, StageName.package):
        facts = {**facts, **_show_report(folder.evaluated, output)}
    if until is StageName.mine:
        facts = {**facts, **_show_mining(folder.mined, output)}
    if refusal:
        raise refusal
    if output.as_json:
        show_json(facts)
    else:
        console.print(f"{until.value}: [bold]{escape(facts['folder'])}[/]", soft_wrap=True)
    return exit_status(facts.get("verdict"))


def _show_report(evaluated: EvaluatedFolder, output: Output) -> dict[str, Any]:
    report = evaluated.report
    if not output.as_json:
        show_report(report)
        console.print(f"report: [bold]{escape(str(evaluated.page))}[/]", soft_wrap=True)
    return asdict(report)


def _show_mining(mined: MinedFolder, output: Output) -> dict[str, Any]:
    report = mined.report
    if not output.as_json:
        show_mining(report)
    return asdict(report)


def exit_status(verdict: str | None) -> int:
    """2 for a REGRESSION, so that a pipeline can stop; 0 otherwise."""
    return _REGRESSION_STATUS if verdict == "REGRESSION" else 0

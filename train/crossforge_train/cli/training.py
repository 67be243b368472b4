"""The commands that make a reranker: train, mine, evaluate, package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from crossforge import Reranker, RetrieveAndRerank
from crossforge.errors import InputError
from crossforge_train.cli.display import Output, console, show_json, show_splits

_REGRESSION_STATUS = 2
_SEED = 42


class StageName(str, Enum):
    """The stages of a run, in order."""

    collect = "collect"
    mine = "mine"
    finetune = "finetune"
    evaluate = "evaluate"
    package = "package"


ConfigArgument = Annotated[
    Path, typer.Argument(help="Config file, such as configs/quickstart.yaml.", show_default=False)
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: --set training.epochs=2.", metavar="A.B=C")
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Do finished stages again.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")]


def train(
    config: ConfigArgument,
    overrides: SetOption = None,
    until: Annotated[StageName, typer.Option(help="The last stage to run.")] = StageName.package,
    fresh: FreshOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Run a recipe: collect, mine, finetune, evaluate, package. What is done already is not done again."""
    return _run_until(config, overrides or [], until, fresh, Output(quiet, as_json))


def _one_stage(stage: StageName, description: str) -> Callable[..., int]:
    def command(
        config: ConfigArgument,
        overrides: SetOption = None,
        fresh: FreshOption = False,
        quiet: QuietOption = False,
        as_json: JsonOption = False,
    ) -> int:
        return _run_until(config, overrides or [], stage, fresh, Output(quiet, as_json))

    command.__doc__ = description
    return command


def evaluate(
    config: Annotated[Path | None, typer.Argument(help="Config file of a run.", show_default=False)] = None,
    reranker: Annotated[
        str | None, typer.Option(help="Instead of a config: a package, cross-encoder folder or hub id.")
    ] = None,
    collection: Annotated[Path | None, typer.Option(help="With --reranker: a collection in BEIR layout.")] = None,
    split: Annotated[str, typer.Option(help="With --reranker: the split to measure.")] = "test",
    depth: Annotated[int, typer.Option(help="With --reranker: candidates that are reranked.", min=2)] = 100,
    overrides: SetOption = None,
    fresh: FreshOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Measure a run's reranker, or any reranker on any collection, against the first stage."""
    output = Output(quiet, as_json)
    if config is not None and reranker is None and collection is None:
        return _run_until(config, overrides or [], StageName.evaluate, fresh, output)
    if config is not None or reranker is None or collection is None:
        raise InputError("give either a config, or both --reranker and --collection")
    return _evaluate_folder(reranker, collection, split, depth, output)


COMMANDS: dict[str, Callable[..., int]] = {
    "train": train,
    "mine": _one_stage(StageName.mine, "Mine hard negatives (and before that collect, where that is not done)."),
    "evaluate": evaluate,
    "package": _one_stage(StageName.package, "Package the reranker (and run the stages before that are not done)."),
}


def _run_until(path: Path, overrides: list[str], until: StageName, fresh: bool, output: Output) -> int:
    from crossforge_train.config import load_config
    from crossforge_train.package import RegressionError
    from crossforge_train.recipe import STAGES
    from crossforge_train.stages import run_stages

    config = load_config(path, overrides)
    wanted = STAGES[: list(StageName).index(until) + 1]
    refusal: RegressionError | None = None
    try:
        run_stages(config, wanted, output.reporter(), fresh=fresh)
    except RegressionError as error:
        refusal = error
    facts: dict[str, Any] = {"folder": str(config.folder / until.value)}
    if until in (StageName.evaluate, StageName.package):
        facts = {**facts, **_show_report(config.folder / StageName.evaluate.value, output)}
    if refusal:
        raise refusal
    if output.as_json:
        show_json(facts)
    else:
        console.print(f"{until.value}: [bold]{facts['folder']}[/]", soft_wrap=True)
    return _status(facts.get("verdict"))


def _show_report(folder: Path, output: Output) -> dict[str, Any]:
    from crossforge_train.evaluation.report import read_report, split_results

    facts = read_report(folder)
    if not output.as_json:
        show_splits(split_results(facts), facts["metric"])
    return facts


def _evaluate_folder(reference: str, folder: Path, split: str, depth: int, output: Output) -> int:
    from crossforge_train.collections.storage import read_folder
    from crossforge_train.config import EvaluationConfig, FirstStageConfig
    from crossforge_train.evaluate import Settings, Task, measure_split
    from crossforge_train.mine import fit_first_stage

    config = EvaluationConfig(depth=depth)
    reranker = Reranker(reference)
    collection = read_folder(folder)
    queries = collection.split_queries(split)
    retriever = fit_first_stage(collection, FirstStageConfig())
    pipeline = RetrieveAndRerank(list(collection.corpus.values()), retriever, reranker, depth=depth)
    run = retriever.search(queries, max(depth, 100))
    weight = reranker.manifest.fusion_weight
    task = Task(pipeline, collection, split, run)
    result = measure_split(task, weight, Settings(config, _SEED, output.reporter()))
    if output.as_json:
        show_json({"metric": config.metric, **asdict(result)})
    else:
        show_splits([result], config.metric)
    return _status(result.verdict)


def _status(verdict: str | None) -> int:
    return _REGRESSION_STATUS if verdict == "REGRESSION" else 0

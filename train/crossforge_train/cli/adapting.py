"""The command `adapt`: from documents alone to a packaged reranker."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from crossforge.errors import InputError
from crossforge_train.cli.display import Output
from crossforge_train.cli.options import FreshOption, JsonOption, QuietOption, SetOption, refuse_overrides
from crossforge_train.cli.training import StageName, run_until

RECIPE = Path(__file__).parents[1] / "adaptation" / "adapt.yaml"
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")

CorpusArgument = Annotated[
    Path,
    typer.Argument(
        help="Documents: a JSONL, CSV, TSV, Parquet or text file, a BEIR folder, or a folder of .md and .txt files.",
        show_default=False,
    ),
]
RecipeOption = Annotated[
    Path, typer.Option("--config", help="A recipe to use in place of configs/adapt.yaml.", show_default=False)
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Run folder. Default: runs/adapt-CORPUS.", show_default=False)
]


def adapt(
    corpus: CorpusArgument,
    base: Annotated[
        str | None, typer.Option("--base", help="Encoder or reranker to start from: a folder, package or hub id.")
    ] = None,
    out: OutOption = None,
    config: RecipeOption = RECIPE,
    overrides: SetOption = None,
    fresh: FreshOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Adapt a reranker to documents alone: make pseudo-queries, train, prove, package."""
    refuse_overrides(overrides, {**taken_keys(out), **({"base_model": "--base"} if base else {})})
    values = corpus_values(corpus, run_folder(corpus, out))
    if base:
        values.append(f"base_model={json.dumps(base)}")
    return run_until(config, [*values, *(overrides or [])], StageName.package, fresh, Output(quiet, as_json))


def taken_keys(out: Path | None) -> dict[str, str]:
    """The keys of a recipe that the command line sets, with what sets them."""
    return {"collection.documents.corpus": "CORPUS", **({"runs": "--out", "name": "--out"} if out else {})}


def corpus_values(corpus: Path, run: Path) -> list[str]:
    """What a recipe is told of a corpus and the folder of its run, as `--set` would tell it."""
    from crossforge_train.run_folder import RunFolder

    judged = RunFolder(run).judged
    values = {"runs": run.parent, "name": run.name, "collection.documents.corpus": corpus}
    if (judged / "qrels").is_dir():
        values["collection.documents.judged"] = judged
    return [f"{key}={json.dumps(str(value))}" for key, value in values.items()]


def run_folder(corpus: Path, out: Path | None) -> Path:
    """The run folder of a corpus.

    Raises:
        InputError: there is no such corpus.
    """
    from crossforge_train.adaptation.reader import corpus_name

    if not corpus.exists():
        raise InputError(f"{corpus}: no such file or folder")
    return out.absolute() if out else Path("runs") / f"adapt-{_NO_NAME.sub('-', corpus_name(corpus))}"


COMMANDS: dict[str, Callable[..., int]] = {"adapt": adapt}

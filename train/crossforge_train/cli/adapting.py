"""The command `adapt`: from documents alone to a packaged reranker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from crossforge_train.adaptation.recipe import RECIPE
from crossforge_train.cli.display import Output
from crossforge_train.cli.options import FreshOption, JsonOption, QuietOption, SetOption, YesOption, refuse_overrides
from crossforge_train.cli.training import StageName, run_config

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
    yes: YesOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Adapt a reranker to documents alone: make pseudo-queries, train, prove, package."""
    refuse_overrides(overrides, {**taken_keys(out), **({"base_model": "--base"} if base else {})})
    from crossforge_train.api.adapting import adapting_config

    wanted = adapting_config(corpus, base, out, config, overrides or [])
    return run_config(wanted, StageName.package, fresh, Output(quiet, as_json, yes))


def taken_keys(out: Path | None) -> dict[str, str]:
    """The keys of a recipe that the command line sets, with what sets them."""
    return {"collection.documents.corpus": "CORPUS", **({"runs": "--out", "name": "--out"} if out else {})}


COMMANDS: dict[str, Callable[..., int]] = {"adapt": adapt}

"""The commands that measure: evaluate and compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from crossforge.errors import InputError
from crossforge_train.cli.display import Output, console, show_json, show_report
from crossforge_train.cli.options import FreshOption, JsonOption, QuietOption, SetOption, YesOption, refuse
from crossforge_train.cli.training import StageName, exit_status, run_until

if TYPE_CHECKING:
    from crossforge_train.api.report import Report

_ONLY_ANY_RERANKER = (
    "only with --reranker; a config has collection.test, evaluation.depth and evaluation.max_queries, "
    "and its report is written to the run folder"
)
_ONLY_CONFIG = "only with a config; --reranker runs no stages"

SplitOption = Annotated[str, typer.Option(help="Split of the collection to measure.")]
DepthOption = Annotated[
    int | None,
    typer.Option(
        help="Number of first-stage candidates to rerank. Default: as in the first package's proof, or 100.", min=2
    ),
]
LexicalOption = Annotated[
    bool, typer.Option("--lexical", help="Let TF-IDF retrieve, whatever the first package was proven behind.")
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", help="Folder for report.html, report.json, runs and per-query values.")
]
MaxQueriesOption = Annotated[int | None, typer.Option(help="Measure a seeded sample of this many queries.", min=1)]


def evaluate(
    context: typer.Context,
    config: Annotated[Path | None, typer.Argument(help="Config file of a run.", show_default=False)] = None,
    reranker: Annotated[
        str | None, typer.Option(help="In place of a config: a package, cross-encoder folder or hub id.")
    ] = None,
    collection: Annotated[Path | None, typer.Option(help="With --reranker: a collection in BEIR layout.")] = None,
    split: SplitOption = "test",
    depth: DepthOption = None,
    max_queries: MaxQueriesOption = None,
    lexical: LexicalOption = False,
    report: ReportOption = None,
    overrides: SetOption = None,
    fresh: FreshOption = False,
    yes: YesOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Measure a run's reranker, or any reranker on any collection, against the first stage."""
    output = Output(quiet, as_json, yes)
    if config is not None and reranker is None and collection is None:
        refuse(context, _ONLY_ANY_RERANKER, "split", "depth", "max_queries", "lexical", "report")
        return run_until(config, overrides or [], StageName.evaluate, fresh, output)
    if config is not None or reranker is None or collection is None:
        raise InputError("give either a config, or both --reranker and --collection")
    refuse(context, _ONLY_CONFIG, "overrides", "fresh", "yes")
    from crossforge_train.api import measuring

    wanted = measuring.Measurement(split, depth, max_queries, lexical=lexical)
    found = measuring.evaluate(reranker, collection, wanted, save_to=report, reporter=output.reporter())
    return _show(found, report, output)


def compare(
    context: typer.Context,
    systems: Annotated[
        list[str],
        typer.Argument(
            help="Packages, cross-encoder folders, hub ids, TREC run files, bm25 or first-stage. The first is the "
            "baseline; a single one is compared with the first stage.",
            show_default=False,
        ),
    ],
    collection: Annotated[Path, typer.Option(help="A collection in BEIR layout.", show_default=False)],
    split: SplitOption = "test",
    depth: DepthOption = None,
    max_queries: MaxQueriesOption = None,
    lexical: LexicalOption = False,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="TREC run with the candidates to rerank. Default: the first stage of the first package's proof "
            "retrieves them; TF-IDF if there is none."
        ),
    ] = None,
    report: ReportOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Compare systems on the same queries and candidates. Exits with 2 if one is worse than the baseline."""
    from crossforge_train.api import measuring

    output = Output(quiet, as_json)
    if candidates:
        refuse(context, "not with --candidates, which says what was retrieved", "lexical")
    wanted = measuring.Measurement(split, depth, max_queries, candidates, lexical=lexical)
    found = measuring.compare(systems, collection, wanted, save_to=report, reporter=output.reporter())
    return _show(found, report, output)


COMMANDS: dict[str, Callable[..., int]] = {"evaluate": evaluate, "compare": compare}


def _show(report: Report, folder: Path | None, output: Output) -> int:
    if output.as_json:
        show_json(asdict(report))
    else:
        show_report(report)
        if folder:
            console.print(f"report: [bold]{escape(str(folder / 'report.html'))}[/]", soft_wrap=True)
    return exit_status(report.verdict)

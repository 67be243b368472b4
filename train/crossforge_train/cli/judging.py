"""The command `judge`: a person says of doubtful documents whether they are relevant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel

from crossforge.errors import InputError
from crossforge_train.adaptation.recipe import RECIPE
from crossforge_train.cli.adapting import OutOption, RecipeOption, taken_keys
from crossforge_train.cli.display import RichReporter, console
from crossforge_train.cli.options import SetOption, refuse, refuse_overrides

if TYPE_CHECKING:
    from crossforge_train.adaptation.people import JudgedPair
    from crossforge_train.config.documents import DocumentsSource
    from crossforge_train.config.run import Config

_ANSWERS = {"r": 1, "relevant": 1, "y": 1, "yes": 1, "n": 0, "no": 0, "not": 0, "not relevant": 0}
_OTHERS = {"s": "s", "skip": "s", "q": "q", "quit": "q"}
_LONGEST = 1200
_FOR_DOCUMENTS = ("queries", "proposed", "depth", "out", "config", "overrides")


def judge(
    context: typer.Context,
    place: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|CORPUS",
            help="Run folder, such as runs/quickstart, or documents as `crossforge adapt` takes them.",
            show_default=False,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            help="For a run: table to judge, such as evaluate/unjudged.test.tsv. Default: its mine/suspects.tsv."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after this many judgements.", min=1)] = None,
    queries: Annotated[
        Path | None, typer.Option(help="For documents: file of queries, one per line, in place of proposed ones.")
    ] = None,
    proposed: Annotated[
        int, typer.Option(help="For documents: number of queries to propose; of the log, if it has a judge.", min=1)
    ] = 40,
    depth: Annotated[
        int,
        typer.Option(help="For documents: results of each system to judge, after those that a judge grades.", min=1),
    ] = 5,
    out: OutOption = None,
    config: RecipeOption = RECIPE,
    overrides: SetOption = None,
) -> None:
    """Judge documents one at a time; the next run of the same config uses the answers."""
    from crossforge_train.api.adapting import corpus_values, run_path
    from crossforge_train.config.loading import load_config
    from crossforge_train.run_folder import RunFolder

    if RunFolder(place).is_run:
        refuse(context, f"only for documents; {place} is a run folder", *_FOR_DOCUMENTS)
        _judge_run(place, file, limit)
    elif place.is_dir() and not _holds_documents(place):
        raise InputError(f"{place}: neither a run folder (no run.json in it) nor a folder of documents")
    else:
        refuse(context, f"only for a run folder; {place} is not one", "file")
        if queries:
            refuse(context, "not with --queries, which takes the place of proposed queries", "proposed")
        refuse_overrides(overrides, taken_keys(out))
        run = run_path(place, out)
        recipe = load_config(config, [*corpus_values(place, run), *(overrides or [])])
        _judge_corpus(recipe, documents_source(recipe, config), run, queries, proposed, depth, limit)


COMMANDS: dict[str, Callable[..., Any]] = {"judge": judge}


def _judge_run(run: Path, file: Path | None, limit: int | None) -> None:
    from crossforge_train.run_folder import RunFolder

    found = RunFolder(run)
    _judge_rows(read_table(file or found.mined.suspects_file), found.judgements, limit)


def documents_source(config: Config, recipe: Path) -> DocumentsSource:
    """How a config reads its documents.

    Raises:
        InputError: the recipe that it was loaded from is none for documents alone.
    """
    source = config.collection.documents
    if source is None:
        raise InputError(f"{recipe}: collection.documents is missing; see configs/adapt.yaml")
    return source


def _judge_corpus(
    config: Config,
    source: DocumentsSource,
    run: Path,
    written: Path | None,
    proposed: int,
    depth: int,
    limit: int | None,
) -> None:
    """Judge what the source's judge grades, then what first stage and reranker find first.

    That is done for proposed or given queries. The judgements are written into a folder in BEIR layout.
    """
    from crossforge.reranker import Reranker
    from crossforge_train.adaptation.known_grades import known_grades
    from crossforge_train.adaptation.people import JUDGED, JudgedPair
    from crossforge_train.adaptation.proposing import judges_rows, proposed_queries, rows_to_judge, written_queries
    from crossforge_train.adaptation.reader import ENOUGH_JUDGED, read_corpus
    from crossforge_train.collections.beir import write_beir
    from crossforge_train.collections.collection import Collection
    from crossforge_train.collections.judgements import read_judgements
    from crossforge_train.first_stage import first_stage_of
    from crossforge_train.run_folder import RunFolder
    from crossforge_train.stages.collect import workplace_of

    documents = read_corpus(source)
    found = RunFolder(run)
    found.claim()
    folder, package = found.judged, found.package.path
    asked = written_queries(written) if written else proposed_queries(documents, source, proposed)
    known = _queries_of(folder)
    write_beir(folder, Collection(folder.name, documents, {**known, **asked}, {}))
    reporter = RichReporter()
    reranker = Reranker(package) if package.is_dir() else None
    first_stage = first_stage_of(reranker, documents.values(), config.runs, reporter) if reranker else None
    target = folder / "qrels" / f"{JUDGED}.tsv"
    judges = judges_rows(documents, asked, source, workplace_of(config, reporter))
    if judges:
        _say_how_exact(len(asked))
    rows = _distinct([*judges, *rows_to_judge(documents, asked, depth, reranker, first_stage)])
    pairs = [JudgedPair(row["query"], row["doc_id"]) for row in rows]
    grades = known_grades(pairs, documents, source.judge) if source.judge else None
    _judge_rows(rows, target, limit, grades)
    answered = sum(any(judged.values()) for judged in read_judgements(target).values())
    console.print(
        f"{answered} queries with a relevant document; `crossforge adapt` chooses on them from {ENOUGH_JUDGED} on"
    )
    if reranker and answered:
        console.print(
            f"verdict: crossforge evaluate --reranker {package} --collection {folder} --split {JUDGED}",
            markup=False,
            soft_wrap=True,
        )


def _say_how_exact(queries: int) -> None:
    from crossforge_train.labels.agreement import expected_error

    console.print(
        f"once all {queries} queries are judged, the judge's kappa is known to within about "
        f"{expected_error(queries):.2f}; four times as many queries halve that"
    )


def _distinct(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    found: dict[tuple[str, str], Mapping[str, str]] = {}
    for row in rows:
        found.setdefault((row["query_id"], row["doc_id"]), row)
    return list(found.values())


def _queries_of(folder: Path) -> dict[str, str]:
    """Those that were asked in earlier sittings."""
    from crossforge.files import read_jsonl

    path = folder / "queries.jsonl"
    return {row["_id"]: row["text"] for _, row in read_jsonl(path)} if path.is_file() else {}


def _holds_documents(folder: Path) -> bool:
    from crossforge_train.collections.readers.texts import corpus_files

    try:
        return bool(corpus_files(folder))
    except InputError:
        return False


def _judge_rows(
    all_rows: Iterable[Mapping[str, str]],
    target: Path,
    limit: int | None,
    grades: Mapping[JudgedPair, int] | None = None,
) -> None:
    """Ask about each row that is not judged yet; every answer is in the file before the next question.

    A machine's grade of the pair of query and document is shown once the answer stands, so that it sways nobody.
    """
    from crossforge.service.judgements import append_judgement
    from crossforge_train.adaptation.people import JudgedPair
    from crossforge_train.collections.judgements import read_judgements

    judgements = read_judgements(target)
    rows = [row for row in all_rows if not _is_judged(row, judgements)]
    console.print(f"{len(rows)} to judge: \\[r]elevant, \\[n]ot relevant, \\[s]kip, \\[q]uit")
    done = 0
    for number, row in enumerate(rows, start=1):
        _show(row, f"{number} of {len(rows)}")
        answer = _ask()
        if answer == "q":
            break
        if answer in _ANSWERS:
            # After each, so that nothing is lost; and at the end, since a service may append there meanwhile.
            append_judgement(target, row["query_id"], row["doc_id"], _ANSWERS[answer])
            done += 1
            if grades and (grade := grades.get(JudgedPair(row["query"], row["doc_id"]))) is not None:
                console.print(f"[dim]graded {grade} of 3 by the model[/]")
        if done == limit:
            break
    held = sum(map(len, read_judgements(target).values()))
    console.print(f"{done} judged; {escape(str(target))} holds {held}", soft_wrap=True)


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a table to judge.

    Raises:
        InputError: the file is missing, or a line or the header does not fit.
    """
    from crossforge_train.collections.readers.tables import read_rows
    from crossforge_train.judging import JUDGING_COLUMNS

    for row in read_rows(path):
        if missing := [name for name in JUDGING_COLUMNS if name not in row.values]:
            raise InputError(f"{path}, line 1: no column {', '.join(missing)}; expected {', '.join(JUDGING_COLUMNS)}")
        yield dict(row.values)


def _is_judged(row: Mapping[str, str], judgements: Mapping[str, Mapping[str, int]]) -> bool:
    return row["doc_id"] in judgements.get(row["query_id"], {})


def _show(row: Mapping[str, str], place: str) -> None:
    text = row["text"] if len(row["text"]) <= _LONGEST else row["text"][:_LONGEST] + " …"
    title = f"[bold]{escape(row['title'])}[/]\n" if row["title"] else ""
    console.print(Panel(title + escape(text), title=escape(row["query"]), subtitle=place, title_align="left"))


def _ask() -> str:
    while True:
        try:
            answer = console.input("r / n / s / q: ").strip().lower()
        except EOFError:
            return "q"
        if answer in _ANSWERS or answer in _OTHERS:
            return _OTHERS.get(answer, answer)

"""The command `judge`: a person says of doubtful documents whether they are relevant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel

from crossforge.errors import InputError
from crossforge_train.cli.display import console

_ANSWERS = {"r": 1, "relevant": 1, "n": 0, "not": 0, "not relevant": 0}
_OTHERS = {"s": "s", "skip": "s", "q": "q", "quit": "q"}
_LONGEST = 1200


def judge(
    run: Annotated[Path, typer.Argument(help="Folder of a run, such as runs/quickstart.", show_default=False)],
    file: Annotated[
        Path | None,
        typer.Option(
            help="A table to judge, such as evaluate/unjudged.test.tsv; the run's mine/suspects.tsv otherwise."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many judgements.", min=1)] = None,
) -> None:
    """Judge documents one at a time; the next run of the same config honours what was said."""
    from crossforge.service.judgements import JUDGEMENTS_FILE
    from crossforge_train.collections.beir import write_qrels
    from crossforge_train.collections.judgements import read_judgements
    from crossforge_train.mining.report import SUSPECTS_FILE

    if not (run / "run.json").is_file():
        raise InputError(f"{run}: not the folder of a run (no run.json in it)")
    target = run / JUDGEMENTS_FILE
    judgements = read_judgements(target)
    rows = [row for row in read_table(file or run / "mine" / SUSPECTS_FILE) if not _is_judged(row, judgements)]
    console.print(f"{len(rows)} to judge: \\[r]elevant, \\[n]ot relevant, \\[s]kip, \\[q]uit")
    done = 0
    for number, row in enumerate(rows, start=1):
        _show(row, f"{number} of {len(rows)}")
        answer = _ask()
        if answer == "q":
            break
        if answer in _ANSWERS:
            judgements.setdefault(row["query_id"], {})[row["doc_id"]] = _ANSWERS[answer]
            write_qrels(target, judgements)  # after each: nothing that was said is lost
            done += 1
        if done == limit:
            break
    console.print(f"{done} judged; {target} holds {sum(map(len, judgements.values()))}", soft_wrap=True)


COMMANDS: dict[str, Callable[..., Any]] = {"judge": judge}


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a table to judge.

    Raises:
        InputError: the file is missing, or a line or the header does not fit.
    """
    from crossforge_train.collections.readers.tables import read_rows
    from crossforge_train.mining.report import JUDGING_COLUMNS

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

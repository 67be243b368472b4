"""Puts the commands together, and turns user-fixable errors into one line and exit status 1."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from crossforge import __version__
from crossforge.errors import CrossforgeError, NotCachedError
from crossforge_train import processes
from crossforge_train.cli import (
    adapting,
    budgeting,
    evaluating,
    fetching,
    judging,
    scoring,
    searching,
    serving,
    sweeping,
    training,
)
from crossforge_train.cli.display import error_console, replace_unwritable

_INTERRUPTED = 130
_RESUMES = "; the same command resumes from the last finished stage or checkpoint"
_NO_ROOM = {
    errno.ENOSPC: "no space left on the disk; free some",
    errno.EDQUOT: "your quota of the disk is used up; free some of it",
    errno.EFBIG: "a file is larger than this process may write; lift the limit (ulimit -f)",
}

app = typer.Typer(
    name="crossforge",
    help="From documents to a proven, packaged reranker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for commands in (training, adapting, sweeping, budgeting, evaluating, judging, fetching, searching, scoring, serving):
    for name, command in commands.COMMANDS.items():
        app.command(name)(command)
# What these have finished is there when they are run again.
_RESUMING = {name for commands in (training, adapting, sweeping, budgeting, scoring) for name in commands.COMMANDS} | {
    "evaluate"
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From documents to a proven, packaged reranker."""


def run(arguments: Sequence[str], name: str) -> None:
    """Run the command with these arguments and exit.

    Args:
        arguments: those after the command's name.
        name: what the help calls the command.
    """
    replace_unwritable()
    _exit_cleanly(arguments, lambda: app(list(arguments), standalone_mode=False, prog_name=name))


def _exit_cleanly(arguments: Sequence[str], command: Callable[[], Any]) -> None:
    debug, resumes = "--debug" in arguments, _resumes(arguments)
    when_interrupted = f"interrupted{_RESUMES if resumes else ''}"
    try:
        status = command()
    except KeyboardInterrupt:
        _fail(when_interrupted, _INTERRUPTED)
    except Exception as error:
        message = _message(error, resumes)
        if debug or message is None:
            raise
        if not message:  # no arguments: the help was shown
            raise SystemExit(0) from None
        _fail(message, getattr(error, "exit_status", 1))
    if status == _INTERRUPTED:  # typer swallows Ctrl-C and gives this
        _fail(when_interrupted, _INTERRUPTED)
    raise SystemExit(status if isinstance(status, int) else 0)


def _resumes(arguments: Sequence[str]) -> bool:
    """Whether the command keeps what it has finished; `evaluate` does so for a config, which has stages."""
    name = next((word for word in arguments if not word.startswith("-")), None)
    return name in _RESUMING and not any(word.partition("=")[0] == "--reranker" for word in arguments)


def _message(error: Exception, resumes: bool) -> str | None:
    """The one line for a user-fixable error; None for a bug, which deserves its traceback."""
    if code := _lack_of_room(error):
        kept = ": finished stages are kept" if resumes else ""
        return f"{_NO_ROOM[code]} and run the same command again{kept}"
    if isinstance(error, NotCachedError):
        return error.for_commands
    if isinstance(error, CrossforgeError):
        return str(error)
    if hasattr(error, "format_message"):  # typer's usage errors; its own class for them is private
        return str(error.format_message())
    if isinstance(error, ModuleNotFoundError):
        return f'{error.name} is not installed, and this command needs it: pip install "crossforge[train]"'
    if isinstance(error, OSError) and error.filename is not None:  # a read-only disk, a folder in place of a file
        return f"{error.filename}: {(error.strerror or type(error).__name__).lower()}"
    return None


def _lack_of_room(error: BaseException) -> int | None:
    """Which of `_NO_ROOM` the error says in its library's words, or was made of: a full disk spoils much else."""
    for code in _NO_ROOM:
        if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
            return code
    # NumPy tells how much of an array was written, and not why the rest was not.
    if isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", str(error)):
        return errno.ENOSPC
    return _lack_of_room(error.__cause__) if error.__cause__ else None


def _fail(message: str, status: int) -> None:
    whose = "" if processes.is_main() else f" (process {processes.rank()})"
    error_console.print(f"[bold red]error{whose}:[/] {_escaped(message)}", soft_wrap=True, highlight=False)
    raise SystemExit(status)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)

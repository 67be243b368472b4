"""The command `crossforge`. Commands that need only the runtime work without the training stack installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_NEEDED = ("typer", "rich")
_INSTALL = 'pip install "crossforge[cli]"'


def main() -> None:
    """Entry point of the command `crossforge`."""
    _command_line()(sys.argv[1:], "crossforge")


def run_script(stage: str) -> None:
    """Entry point of `python -m crossforge_train.STAGE CONFIG …`: the same as `crossforge STAGE CONFIG …`."""
    _command_line()([stage, *sys.argv[1:]], "python -m crossforge_train")


def _command_line() -> Callable[[Sequence[str], str], None]:
    _open_closed_streams()
    try:
        from crossforge_train.cli.app import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _NEEDED:
            raise
        sys.stderr.write(f"error: {missing} is not installed, and the command line needs it: {_INSTALL}\n")
        raise SystemExit(1) from None
    return run


def _open_closed_streams() -> None:
    """Put an empty stream where the caller closed standard input, output or error, which Python gives as None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open until the process ends
            os.set_inheritable(stream.fileno(), True)  # it has the number of the closed one; workers need it as well
            setattr(sys, name, stream)

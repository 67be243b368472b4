"""The command `fetch`: public collections where the recipes look for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from crossforge.errors import InputError
from crossforge.files import require_writable
from crossforge_train.cli.display import console, error_console

_ALL = "all"


def fetch(
    name: Annotated[
        str, typer.Argument(help="scifact, cranfield, medquad, jaquad, or the word all.", show_default=False)
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the collections. Default: ../shared/collections beside the checkout; recipes look there."
        ),
    ] = None,
) -> None:
    """Download public collections in BEIR layout. Needs a network."""
    from crossforge_train.collections.places import FETCHABLE, NOT_FETCHABLE, PLACE, WHY_NOT
    from crossforge_train.collections.public import SOURCES
    from crossforge_train.collections.public import fetch as fetch_into
    from crossforge_train.libraries import quieten_downloads

    if name in NOT_FETCHABLE:
        raise InputError(f"{name}: {WHY_NOT}")
    if name not in (_ALL, *FETCHABLE):
        raise InputError(f"no public collection {name!r}; have {', '.join(FETCHABLE)}, {_ALL}")
    if to is not None:
        require_writable(to, "a collection", folder=True)
    quieten_downloads()
    for one in FETCHABLE if name == _ALL else (name,):
        folder = (to or PLACE) / one
        if folder.exists():
            console.print(f"{one}: already in [bold]{escape(str(folder))}[/]", soft_wrap=True)
            continue
        error_console.print(f"fetching {one} …")
        fetch_into(SOURCES[one], folder)
        difference = f"; {SOURCES[one].difference}" if SOURCES[one].difference else ""
        console.print(f"{one}: [bold]{escape(str(folder))}[/]{difference}", soft_wrap=True)
    if name == _ALL:
        error_console.print(f"not fetched: {', '.join(NOT_FETCHABLE)} ({WHY_NOT})", soft_wrap=True)


COMMANDS: dict[str, Callable[..., None]] = {"fetch": fetch}

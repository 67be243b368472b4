"""Options that several commands share, and the refusal of those that a command would ignore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from crossforge.backends.choice import AUTO
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError

ConfigArgument = Annotated[
    Path, typer.Argument(help="Config file, such as configs/quickstart.yaml.", show_default=False)
]
PackageArgument = Annotated[
    str, typer.Argument(help="A package, a cross-encoder folder or a hub id.", show_default=False)
]
BackendOption = Annotated[str, typer.Option(help=f"{AUTO}, {', '.join(BACKENDS.built_in)}, or a plug-in.")]
DeviceOption = Annotated[str, typer.Option(help="Where it computes: auto, cpu, cuda, cuda:NUMBER or mps.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: --set training.epochs=2.", metavar="A.B=C")
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Run finished stages again.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before paying for a judge's requests.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]


def refuse(context: typer.Context, why: str, *names: str) -> None:
    """Refuse options that have no effect here.

    Args:
        context: of the command; it tells options that were given from defaults.
        why: what they need or clash with, and the way out.
        names: the command's parameters.

    Raises:
        InputError: one of them was given.
    """
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    if given := [flags[name] for name in names if _is_given(context, name)]:
        raise InputError(f"{', '.join(given)}: {why}")


def refuse_overrides(overrides: Sequence[str] | None, taken: Mapping[str, str]) -> None:
    """Refuse to `--set` keys that another part of the command line sets.

    Args:
        overrides: `a.b=value`.
        taken: key -> the option or argument that sets it.

    Raises:
        InputError: a key is among the overrides.
    """
    for override in overrides or ():
        key = override.partition("=")[0].strip()
        if key in taken:
            raise InputError(f"--set {key}: {taken[key]} sets this key; give one of the two")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    # By name: typer ships an enumeration of its own, whose home differs between versions.
    return source is not None and source.name == "COMMANDLINE"

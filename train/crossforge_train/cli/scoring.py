"""The command `score`: a whole table of pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from crossforge.backends.choice import AUTO
from crossforge.backends.devices import AUTO_DEVICE
from crossforge_train.cli.display import Output, console, show_json
from crossforge_train.cli.engine import (
    AddressOption,
    EngineName,
    EngineOption,
    GpusOption,
    WorkersOption,
    compute_section,
)
from crossforge_train.cli.options import BackendOption, DeviceOption, JsonOption, PackageArgument, QuietOption, refuse


def score(
    context: typer.Context,
    package: PackageArgument,
    pairs: Annotated[
        Path,
        typer.Argument(
            help="Parquet, JSONL, CSV or TSV with the columns query, text and perhaps title; other columns go with the "
            "scores.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Parquet file to write.", show_default=False)],
    backend: BackendOption = AUTO,
    device: DeviceOption = AUTO_DEVICE,
    engine: EngineOption = EngineName.local,
    address: AddressOption = "auto",
    workers: WorkersOption = None,
    gpus_per_worker: GpusOption = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score a table of (query, text) pairs. An interrupted command goes on where it stopped."""
    compute = compute_section(context, engine, address, workers, gpus_per_worker)
    if engine is not EngineName.local:
        refuse(context, "not with --engine ray, where --gpus-per-worker says it", "device")
    from crossforge_train.api import scoring

    output = Output(quiet, as_json)
    found = scoring.score(
        package, pairs, out, backend=backend, device=device, compute=compute, reporter=output.reporter()
    )
    if as_json:
        show_json({**asdict(found), "path": str(found.path)})
    else:
        before = found.pairs - found.scored
        kept = f", {before:,} of them by an earlier command" if before else ""
        console.print(f"{found.pairs:,} pairs scored{kept}: [bold]{escape(str(found.path))}[/]", soft_wrap=True)


COMMANDS: dict[str, Callable[..., Any]] = {"score": score}

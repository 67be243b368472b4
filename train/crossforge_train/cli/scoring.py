"""The command `score`: a whole table of pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from crossforge.backends.choice import AUTO
from crossforge.backends.devices import AUTO_DEVICE
from crossforge_train.cli.display import Output, console, show_json
from crossforge_train.cli.options import BackendOption, DeviceOption, JsonOption, PackageArgument, QuietOption, refuse


class EngineName(str, Enum):
    """Where pairs are scored."""

    local = "local"
    ray = "ray"


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
    engine: Annotated[
        EngineName, typer.Option(help="This process, or the workers of a Ray cluster.")
    ] = EngineName.local,
    address: Annotated[
        str, typer.Option(help="With ray: HOST:PORT; local starts a cluster here; auto is RAY_ADDRESS, or local.")
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            help="With ray: processes that score at a time. Default: one a CPU, or as many as GPUs have place for.",
            min=1,
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(help="With ray: 1 gives each worker a GPU, 0.5 lets two share one.", min=0, max=1)
    ] = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score a table of (query, text) pairs. An interrupted command goes on where it stopped."""
    if engine is EngineName.local:
        refuse(context, "only with --engine ray", "address", "workers", "gpus_per_worker")
    else:
        refuse(context, "not with --engine ray, where --gpus-per-worker says it", "device")
    from crossforge_train.api import scoring

    compute: dict[str, Any] = {"engine": engine.value, "address": address, "workers": workers or "auto"}
    output = Output(quiet, as_json)
    compute["gpus_per_worker"] = gpus_per_worker
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

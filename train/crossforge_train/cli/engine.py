"""The options that say where pairs are scored."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from crossforge_train.cli.options import refuse


class EngineName(str, Enum):
    """Where pairs are scored."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[EngineName, typer.Option(help="This process, or the workers of a Ray cluster.")]
AddressOption = Annotated[
    str, typer.Option(help="With ray: HOST:PORT; local starts a cluster here; auto is RAY_ADDRESS, or local.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        help="With ray: number of processes that score. Default: one per CPU, or as many as the GPUs have room for.",
        min=1,
    ),
]
GpusOption = Annotated[
    float, typer.Option(help="With ray: 1 gives each worker a GPU, 0.5 lets two share one.", min=0, max=1)
]


def compute_section(
    context: typer.Context, engine: EngineName, address: str, workers: int | None, gpus_per_worker: float
) -> dict[str, Any]:
    """The section `compute` that these options stand for; the command's parameters have the same names."""
    if engine is EngineName.local:
        refuse(context, "only with --engine ray", "address", "workers", "gpus_per_worker")
    values = {"engine": engine.value, "address": address, "workers": workers or "auto"}
    return {**values, "gpus_per_worker": gpus_per_worker}

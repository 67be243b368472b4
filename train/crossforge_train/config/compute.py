"""The config section `compute`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from crossforge_train.config.section import Section

_Count = Annotated[int, Field(ge=1, le=100_000)]
_LEAST_OF_GPU = 0.01
_GPU_UNITS = 10_000  # Ray counts GPUs in ten-thousandths


class ComputeConfig(Section):
    """Where mining and language models run. A finished stage counts as finished wherever it ran."""

    engine: Literal["local", "ray"] = Field("local", description="this machine alone, or the workers of a Ray cluster")
    address: str = Field(
        "auto",
        min_length=1,
        description="address of the Ray cluster, `HOST:PORT`, or `ray://HOST:PORT` for Ray's client server; `local`: "
        "one on this machine that starts and ends with the run; `auto`: the cluster that RAY_ADDRESS names, or `local`",
    )
    shards: _Count | Literal["auto"] = Field(
        "auto",
        description="number of parts that the documents are cut into for search by words and by vectors; `auto`: one "
        "per worker, or more to hold at most a million documents each; none with `engine: local`",
    )
    workers: _Count | Literal["auto"] = Field(
        "auto",
        description="number of worker processes; `auto`: one per CPU of the cluster, or as many as fit on its GPUs",
    )
    gpus_per_worker: float = Field(
        0,
        ge=0,
        le=1,
        description="GPUs per worker: 1, or a share of one; with 0.5, two workers share a GPU",
    )

    @field_validator("gpus_per_worker")
    @classmethod
    def _shares_are_not_tiny(cls, value: float) -> float:
        if 0 < value < _LEAST_OF_GPU:
            raise ValueError(f"expected 0, or a number from {_LEAST_OF_GPU} to 1 (found {value:g})")
        return value

    @property
    def workers_per_gpu(self) -> int:
        """How many workers share a GPU, each of them with no part of another; 0 if they have none."""
        share = round(self.gpus_per_worker * _GPU_UNITS)
        return _GPU_UNITS // share if share else 0

    @property
    def by_shards(self) -> bool:
        """Whether the documents are searched by shards."""
        return self.engine != "local" or self.shards != "auto"

    @property
    def number_of_shards(self) -> int | None:
        """How many shards the config asks for; None: as many as the workers and documents call for."""
        return self.shards if isinstance(self.shards, int) else None

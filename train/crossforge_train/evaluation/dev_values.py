"""`DevValues`: what a training's reranker, and what it has to beat, reach on each query of dev."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from crossforge.errors import InputError
from crossforge.files import read_json, write_json


@dataclass(frozen=True)
class DevValues:
    """What was measured on dev.

    Attributes:
        metric: the measure.
        depth: how many candidates were reranked.
        fusion_weight: share of the first stage in the shipped order, chosen on the same queries.
        best_free: the free alternative that did best on dev; None if there is none.
        values: system -> query id -> metric; every system has the same queries.
    """

    metric: str
    depth: int
    fusion_weight: float
    best_free: str | None
    values: Mapping[str, Mapping[str, float]]


def write_dev_values(path: Path, values: DevValues) -> None:
    """Write it as JSON."""
    write_json(path, asdict(values))


def read_dev_values(path: Path) -> DevValues:
    """Read what `write_dev_values` wrote.

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        return TypeAdapter(DevValues).validate_python(read_json(path))
    except ValidationError:
        raise InputError(f"{path}: not what was measured on dev; delete its folder and run the command again") from None

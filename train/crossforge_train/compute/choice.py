"""Opens the engine that a config asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossforge.errors import InputError
from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.compute import ComputeConfig


@contextmanager
def opened_engine(config: ComputeConfig, *, shared: Path | None = None, read: Path | None = None) -> Iterator[Engine]:
    """The engine, as long as the block lasts.

    Args:
        config: the section `compute`.
        shared: a folder in which every worker has to see what is written here, such as that of a run.
        read: a file or folder that every worker has to see.

    Raises:
        InputError: Ray is not installed, or its cluster cannot be used.
    """
    if config.engine == "local":
        yield LocalEngine()
        return
    try:
        from crossforge_train.compute.cluster import ray_engine
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError('compute.engine: ray is not installed: pip install "crossforge[ray]"') from None
    with ray_engine(config, shared=shared, read=read) as engine:
        yield engine

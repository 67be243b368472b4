"""A cluster on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray_workers import importable_by_workers

from crossforge_train.compute.base import Engine
from crossforge_train.compute.choice import opened_engine
from crossforge_train.config.compute import ComputeConfig


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two workers on a cluster that was started for them."""
    pytest.importorskip("ray")
    config = ComputeConfig(engine="ray", workers=2)
    with importable_by_workers(), opened_engine(config, tmp_path_factory.mktemp("shared")) as engine:
        yield engine

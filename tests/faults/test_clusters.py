"""A command that is killed leaves its cluster free, and the next one ends as if nothing had happened."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apart import contents, done, killed_at
from ray_workers import importable_by_workers

pytestmark = pytest.mark.slow


@pytest.fixture
def node() -> Iterator[Any]:
    """A cluster of one machine with two CPUs, which no command here has started."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with importable_by_workers():
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
        yield found
        found.shutdown()


def test_mining_ends_with_the_same_bytes(config: Path, node: Any) -> None:
    runs = config.parent / "runs"
    by_words = ["mine", config, "--set", "first_stage.kind=lexical"]
    whole = done(*by_words)
    assert whole.returncode == 0, whole.stderr
    expected = contents(runs)
    shutil.rmtree(runs)
    cluster = ["compute.engine=ray", f"compute.address={node.address}", "compute.shards=3"]
    shared = [*by_words, *(part for value in cluster for part in ("--set", value))]
    killed_at("retrieving", *shared)
    assert free_processors(node) == 2
    last = done(*shared)
    assert last.returncode == 0, last.stderr
    assert "collect is already done" in last.stderr
    found = contents(runs)
    assert found.keys() == expected.keys()
    assert [name for name, content in found.items() if content != expected[name]] == []


def free_processors(node: Any, patience: float = 60) -> float:
    """How many of a cluster's CPUs nobody holds, once workers of a killed command have ended."""
    import ray

    with ray.init(address=node.address, log_to_driver=False):
        started = time.monotonic()
        while (free := ray.available_resources().get("CPU", 0)) < 2 and time.monotonic() - started < patience:
            time.sleep(0.2)
    return float(free)

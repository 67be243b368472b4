"""Clusters of several machines, each of them a node of its own on this one."""

from __future__ import annotations

import pytest
import ray_workers

from crossforge_train.compute.choice import opened_engine
from crossforge_train.config.compute import ComputeConfig


@pytest.mark.slow
def test_the_machine_that_is_left_does_the_work_of_a_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("crossforge_train.compute.ray")
    from ray.cluster_utils import Cluster

    with ray_workers.importable_by_workers():
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1})
        try:
            lost = nodes.add_node(num_cpus=1, num_gpus=1)
            config = ComputeConfig(engine="ray", address=nodes.address, workers=2, gpus_per_worker=1)
            with opened_engine(config) as engine:
                found = engine.map(ray_workers.sleeping, [0.2] * 30)
                assert [next(found) for _ in range(3)] == [0.2] * 3
                monkeypatch.setattr(module, "_PLACE", 10)
                nodes.remove_node(lost, allow_graceful=False)  # no other has a GPU that is free
                assert list(found) == [0.2] * 27
        finally:
            nodes.shutdown()

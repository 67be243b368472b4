"""What is asked of a cluster before any work, each in one line."""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray_workers
from support import Command, error_line, toy_config

from crossforge import __version__
from crossforge.errors import InputError
from crossforge_train.compute.base import Engine
from crossforge_train.compute.choice import opened_engine
from crossforge_train.config.compute import ComputeConfig

VERSION = platform.python_version()


@pytest.fixture
def listening() -> Iterator[str]:
    """An address where somebody listens who does not say a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refusal(folder: Path, **config: object) -> str:
    with pytest.raises(InputError) as told, opened_engine(ComputeConfig(engine="ray", **config), shared=folder):
        pass
    assert "\n" not in str(told.value)
    return str(told.value)


def test_ray_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("crossforge_train.compute.cluster", "crossforge_train.compute.ray"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refusal(tmp_path) == 'compute.engine: ray is not installed: pip install "crossforge[ray]"'


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens(tmp_path: Path, listening: str, scheme: str) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
    assert refusal(tmp_path, address=address).startswith(f"compute.address: {address} does not answer (")


@pytest.mark.parametrize("address", ["host:port", "127.0.0.1", "host", ":6379", "ray://host:port"])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    told = f"compute.address: {address!r} is neither HOST:PORT nor ray://HOST:PORT"
    assert refusal(tmp_path, address=address) == told


@pytest.mark.parametrize("variable", [True, False])
def test_the_address_local_is_a_cluster_of_this_machine(monkeypatch: pytest.MonkeyPatch, variable: bool) -> None:
    cluster = pytest.importorskip("crossforge_train.compute.cluster")
    joined: list[str] = []

    def stop(address: str) -> None:
        joined.append(address)
        raise InputError("far enough")

    monkeypatch.setattr(cluster, "_connect", stop)
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", "local")
    config = ComputeConfig(engine="ray", address="auto" if variable else "local")
    with pytest.raises(InputError, match="far enough"), opened_engine(config):
        pass
    assert joined == [""]


def test_the_command_tells_it_before_any_work(
    crossforge: Command, tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    pytest.importorskip("ray")
    config = toy_config(tmp_path, toy_collection, tiny_encoder)
    failed = crossforge(
        "train", config, "--quiet", "--set", "compute.engine=ray", "--set", "compute.address=127.0.0.1:1"
    )
    assert "compute.address: 127.0.0.1:1 does not answer" in error_line(failed)
    assert not (tmp_path / "runs/toy/collect").exists()


@pytest.mark.slow
def test_an_address_where_another_service_listens(
    tmp_path: Path, listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = pytest.importorskip("crossforge_train.compute.cluster")
    monkeypatch.setattr(cluster, "_HANDSHAKE", 5)
    told = f"compute.address: {listening} answers, but in 5 seconds not as a Ray cluster does"
    assert refusal(tmp_path, address=listening) == told


@pytest.mark.slow
def test_more_than_the_cluster_has(cluster: Engine, tmp_path: Path) -> None:
    assert "the cluster has 0 GPUs" in refusal(tmp_path, gpus_per_worker=1)
    assert "the cluster has 0 GPUs" in refusal(tmp_path, gpus_per_worker=1, workers=2)
    assert refusal(tmp_path, workers=1000).startswith(
        "compute.workers: 1000 with half a CPU each, and the cluster has "
    )


def sized_engine(monkeypatch: pytest.MonkeyPatch, nodes: list[tuple[float, float]], **config: object) -> Any:
    """The engine of a cluster whose nodes have as many CPUs and GPUs; a node that has gone is listed beside them."""
    cluster = pytest.importorskip("crossforge_train.compute.cluster")
    listed = [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}} for cpus, gpus in nodes]
    gone = {"Alive": False, "Resources": {"CPU": 500.0}}
    monkeypatch.setattr(cluster.ray, "nodes", lambda: [*listed, gone, {"Alive": True, "Resources": {}}])
    in_all = {"CPU": sum(cpus for cpus, _ in nodes), "GPU": sum(gpus for _, gpus in nodes)}
    monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: in_all)
    return cluster._sized(ComputeConfig(engine="ray", **config))


def sized(monkeypatch: pytest.MonkeyPatch, cpus: float, gpus: float, **config: object) -> tuple[int, float]:
    """Workers of a cluster that has as much, and GPUs of each."""
    engine = sized_engine(monkeypatch, [(cpus, gpus)], **config)
    return engine.workers, engine.gpus


@pytest.mark.parametrize(
    ("nodes", "workers", "threads"),
    [(10, 4, 16), (10, 10, 16), (10, 20, 8), (10, 160, 1), (10, 320, 1), (1, 1, 16), (1, 3, 5)],
)
def test_a_worker_has_no_more_threads_than_its_node_has_processors(
    monkeypatch: pytest.MonkeyPatch, nodes: int, workers: int, threads: int
) -> None:
    assert sized_engine(monkeypatch, [(16, 0)] * nodes, workers=workers).threads == threads


@pytest.mark.parametrize(
    ("share", "gpus", "workers"),
    [(1, 3, 3), (0.5, 3, 6), (0.25, 1, 4), (1 / 3, 2, 6), (0.1, 1, 10), (0.07, 1, 14), (0.01, 1, 100),
     (0.6, 2, 2), (0.4, 2, 4)],  # what two GPUs have left is no part of a third one
)  # fmt: skip
def test_workers_share_gpus(monkeypatch: pytest.MonkeyPatch, share: float, gpus: int, workers: int) -> None:
    assert sized(monkeypatch, 100, gpus, gpus_per_worker=share) == (workers, share)
    assert sized(monkeypatch, 100, gpus, gpus_per_worker=share, workers=1) == (1, share)
    with pytest.raises(InputError, match=f"^compute.gpus_per_worker: {share:g} for {workers + 1} workers, and the"):
        sized(monkeypatch, 100, gpus, gpus_per_worker=share, workers=workers + 1)


def test_no_more_workers_than_processors_share_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sized(monkeypatch, 2, 1, gpus_per_worker=0.1) == (4, 0.1)  # half a CPU each
    assert sized(monkeypatch, 8, 2) == (8, 0)


@pytest.mark.slow
def test_a_connection_that_the_caller_has_is_kept(cluster: Engine, tmp_path: Path) -> None:
    with opened_engine(ComputeConfig(engine="ray", workers=1), shared=tmp_path / "runs") as engine:
        assert list(engine.map(ray_workers.slow_first, [1, 2])) == [1, 2]
    assert not list((tmp_path / "runs").iterdir())  # the token is gone
    assert list(cluster.map(ray_workers.slow_first, [1])) == [1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (("2.7.18", __version__, True), f"has crossforge {__version__} on Python 2.7.18, and this process"),
        ((VERSION, "0.0.1", True), f"has crossforge 0.0.1 on Python {VERSION}, and this process"),
        ((VERSION, __version__, False), "; put it on a file system that all nodes share"),
    ],
)
def test_a_node_that_differs(
    cluster: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple, told: str
) -> None:
    import ray

    from crossforge_train.compute import cluster as module

    monkeypatch.setattr(module, "_ask", lambda node, token: ray.put(answer))
    assert told in refusal(tmp_path)


@pytest.mark.slow
def test_a_package_that_no_worker_sees(cluster: Engine, tmp_path: Path) -> None:
    config = ComputeConfig(engine="ray", workers=1)
    with opened_engine(config, read=tmp_path):
        pass
    missing = tmp_path / "package"
    with pytest.raises(InputError) as told, opened_engine(config, read=missing):
        pass
    assert f"does not see {missing}; put it on a file system" in str(told.value)


@pytest.mark.slow
def test_a_node_that_lacks_the_package(cluster: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossforge_train.compute import cluster as module

    monkeypatch.setattr(module, "_report", ray_workers.missing_module)
    assert "cannot run crossforge" in refusal(tmp_path)

"""Connecting to a Ray cluster, and what is asked of it before any work."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from crossforge import __version__
from crossforge.errors import InputError, last_line
from crossforge_train.compute.ray import CPUS_PER_WORKER, RayEngine
from crossforge_train.config.compute import ComputeConfig

_AUTO, _LOCAL = "auto", "local"  # as Ray calls them
_CLIENT = "ray://"
_CLIENT_PORT = 10001
# Seconds that an address has to answer in, a handshake may take, and a node has to start a worker in.
_ANSWER, _HANDSHAKE, _START = 10, 60, 120
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
# In a process of its own: the library waits for minutes, and may end the process that it waits in.
_TRIAL = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"


@contextmanager
def ray_engine(config: ComputeConfig, *, shared: Path | None = None, read: Path | None = None) -> Iterator[RayEngine]:
    """An engine on the cluster of the config, which is left, or ended if it was started here, afterwards.

    Args:
        config: the section `compute`.
        shared: a folder in which every worker has to see what is written here.
        read: a file or folder that every worker has to see.

    Raises:
        InputError: the address does not answer, a node cannot work for this process, or there are too few processors
            or GPUs.
    """
    joined = not ray.is_initialized()  # otherwise the caller is connected, and stays so
    address = config.address if config.address != _AUTO else os.environ.get("RAY_ADDRESS", "")
    address = "" if address == _LOCAL else address
    if joined:
        _connect(address)
    try:
        if address or not joined:
            with _token(shared) if shared else nullcontext(read) as seen:
                _require_alike(shared or read, seen)
        engine = _sized(config)
        try:
            yield engine
        finally:
            engine.close()
    finally:
        if joined:
            ray.shutdown()


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:
        ray.init(_LOCAL, include_dashboard=False, **_QUIET)
        return
    if address != _AUTO:
        _require_answer(address)
    _require_handshake(address)
    ray.init(address, **_QUIET)


def _require_answer(address: str) -> None:
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not host and address.startswith(_CLIENT):
        host, port = port, str(_CLIENT_PORT)
    if not host or not port.isdecimal():
        raise InputError(f"compute.address: {address!r} is neither HOST:PORT nor ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"compute.address: {address} does not answer ({getattr(error, 'strerror', None) or error}); is the cluster "
            "up, and the port its own?"
        ) from None


def _require_handshake(address: str) -> None:
    command = [sys.executable, "-c", _TRIAL, address]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=_HANDSHAKE, errors="replace")  # noqa: S603
    except subprocess.TimeoutExpired:
        raise InputError(
            f"compute.address: {address} answers, but in {_HANDSHAKE} seconds not as a Ray cluster does"
        ) from None
    if tried.returncode:
        lines = [line for line in tried.stderr.splitlines() if line.strip()] or [f"exit status {tried.returncode}"]
        raise InputError(f"compute.address: {address}: Ray cannot connect ({lines[-1].strip()})")


@contextmanager
def _token(folder: Path) -> Iterator[Path]:
    """A file in the folder that no other folder of that name has."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder.absolute() / f".{uuid.uuid4().hex}.token"
    token.touch()
    try:
        yield token
    finally:
        token.unlink()


def _require_alike(named: Path | None, seen: Path | None) -> None:
    """Every node has to run this version on this Python, and to see a file or folder, which errors call `named`."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = {node["NodeManagerAddress"]: _ask(node["NodeID"], seen) for node in nodes}
    for address, answer in asked.items():
        _require_answer_of(address, answer, named)


def _ask(node: str, seen: Path | None) -> Any:
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    path = None if seen is None else str(seen.absolute())
    return ray.remote(_report).options(num_cpus=0, scheduling_strategy=there).remote(path)


def _report(seen: str | None) -> tuple[str, str, bool]:
    """What a node runs, and whether it sees a file or folder, if there is one to see."""
    return platform.python_version(), __version__, seen is None or Path(seen).exists()


def _require_answer_of(address: str, answer: Any, named: Path | None) -> None:
    ours = platform.python_version(), __version__
    try:
        python, version, sees = ray.get(answer, timeout=_START)
    except GetTimeoutError:
        raise InputError(f"node {address} started no worker within {_START} seconds") from None
    except RayError as error:
        raise InputError(
            f"node {address} cannot run crossforge {__version__} ({last_line(error)}); install it there with the same "
            "Python"
        ) from None
    if (python, version) != ours:
        raise InputError(
            f"node {address} has crossforge {version} on Python {python}, and this process crossforge {ours[1]} on "
            f"Python {ours[0]}; install the same on both"
        )
    if not sees:
        raise InputError(f"node {address} does not see {named}; put it on a file system that all nodes share")


def _sized(config: ComputeConfig) -> RayEngine:
    """As many workers as are asked for, or fit, each with its share of the CPUs, but no more than a node has."""
    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 0.0), int(resources.get("GPU", 0))
    wanted = config.workers if isinstance(config.workers, int) else None
    beside_gpus = gpus * config.workers_per_gpu
    if config.gpus_per_worker and beside_gpus < (wanted or 1):
        raise InputError(
            f"compute.gpus_per_worker: {config.gpus_per_worker:g} for {wanted or 'any'} workers, and the cluster has "
            f"{gpus} GPUs; give it 0, or have fewer workers"
        )
    most = int(cpus / CPUS_PER_WORKER)
    if most < (wanted or 1):
        raise InputError(
            f"compute.workers: {wanted or 1} with half a CPU each, and the cluster has {cpus:g} CPUs: {most} at most"
        )
    usual = beside_gpus if config.gpus_per_worker else max(1, int(cpus))
    workers = wanted or min(usual, most)
    on_one_node = max(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"])
    return RayEngine(workers, config.gpus_per_worker, max(1, min(int(cpus) // workers, int(on_one_node))))

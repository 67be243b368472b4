"""Several processes behind one address: each is a service of its own, over files that all of them map."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

from fastapi import FastAPI
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from crossforge.errors import CrossforgeError
from crossforge.service.children import be_a_child, interrupts_wait
from crossforge.service.metrics import METRICS_VARIABLE, forget_process
from crossforge.service.plan import Plan
from crossforge.service.settings import Settings
from crossforge.threads import limited_to

_logger = logging.getLogger(__name__)
# Seconds after which a worker that does not answer its supervisor is replaced. While a large index is read, a worker
# cannot answer.
_HUNG = 60


def for_workers(settings: Settings, workers: int, metrics: Path) -> Settings:
    """The settings of each of several workers.

    Args:
        settings: of the service.
        workers: how many; each of them counts the requests in progress for itself, and allows its share, at least one.
        metrics: an empty folder, where they count together.
    """
    requests = -(-settings.limits.requests // workers)
    return replace(settings, limits=replace(settings.limits, requests=requests), metrics=metrics)


def threads_of_worker(workers: int) -> int:
    """How many threads each of several workers gets, at least one, of the cores that this process may use."""
    from joblib import cpu_count  # heeds the limits of containers

    return max(1, int(cpu_count()) // workers)


def run_workers(plan: Plan, workers: int, listener: socket, **options: Any) -> bool:
    """Serve until SIGINT or SIGTERM, and then until the requests that are under way have been answered.

    Args:
        plan: what to serve; its settings name a folder for metrics.
        workers: how many processes.
        listener: all of them accept connections from it.
        options: of uvicorn.

    Returns:
        Whether it ended because it was told to, and not because a worker could not start.
    """
    metrics = plan.settings.metrics
    if metrics is None:
        raise ValueError("several workers need a folder where they count together")
    app = partial(_worker, plan)
    config = Config(app, factory=True, workers=workers, timeout_worker_healthcheck=_HUNG, **options)
    limits = limited_to(threads_of_worker(workers))
    # Whoever limits threads himself, limits those of each worker.
    variables = {name: value for name, value in limits.items() if name not in os.environ}
    with _environment({**variables, METRICS_VARIABLE: str(metrics)}):
        supervisor = _Supervisor(config, [listener], metrics)
        supervisor.run()
    return not supervisor.failed


class _Supervisor(Multiprocess):
    """uvicorn's: it starts workers, replaces those that end or hang, and passes on the signal to end."""

    def __init__(self, config: Config, sockets: list[socket], metrics: Path) -> None:
        super().__init__(config, sockets)
        self._metrics = metrics
        self._known: set[int] = set()

    @property
    def failed(self) -> bool:
        """Whether a worker could not start; it has said why, and another would say the same."""
        return any(process.process.exitcode == STARTUP_FAILURE for process in self.processes)

    def init_processes(self) -> None:
        with interrupts_wait():
            super().init_processes()
        self._take_stock()

    def keep_subprocess_alive(self) -> None:
        if self.failed:
            self.should_exit.set()
            return
        self._take_stock()
        before = self._known
        with interrupts_wait():
            super().keep_subprocess_alive()
        self._take_stock()
        for pid in before - self._known:
            _logger.warning("worker %d ended; another one takes its place", pid)

    def _take_stock(self) -> None:
        """Forget what workers that are gone had in progress."""
        there = {process.pid for process in self.processes if process.pid}
        for pid in self._known - there:
            forget_process(pid, self._metrics)
        self._known = there
        for process in self.processes:
            process.child_conn.close()  # the worker has its own: when it ends, nobody waits for its answer


def _worker(plan: Plan) -> FastAPI:
    """What uvicorn calls in each process for the app."""
    be_a_child()  # uvicorn heeds signals by now
    try:
        return plan.app()
    except CrossforgeError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(STARTUP_FAILURE) from None


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

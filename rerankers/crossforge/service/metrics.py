"""Counts and times for Prometheus, and nothing of what a request holds."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = CONTENT_TYPE_LATEST
# The environment variable by which prometheus_client, when it is imported, decides to count in files of a folder.
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """The metrics of one service.

    Args:
        folder: where all processes of the service count together, which `METRICS_VARIABLE` must name before
            prometheus_client is imported; None: there is one process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "crossforge_requests", "Requests, by path and status.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "crossforge_request_seconds", "Time from request to response.", ["path"], registry=registry
        )
        self._running = Gauge(
            "crossforge_requests_running", "Requests in progress or waiting.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._callers = Histogram(
            "crossforge_round_callers", "Callers per round.", buckets=_SIZES[:8], registry=registry
        )
        self._pairs = Histogram("crossforge_round_pairs", "Pairs per round.", buckets=_SIZES, registry=registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def running(self, requests: int) -> None:
        """Set the number of requests in progress or waiting."""
        self._running.set(requests)

    def computed(self, callers: int, pairs: int) -> None:
        """Count a computed round."""
        self._callers.observe(callers)
        self._pairs.observe(pairs)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        registry = self._registry
        if self._folder:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._folder))
        text: bytes = generate_latest(registry)
        return text


def forget_process(pid: int, folder: Path) -> None:
    """Take away what a process that is gone had in progress; what it counted stays.

    Args:
        pid: of the process.
        folder: where it counted together with others.
    """
    mark_process_dead(pid, str(folder))

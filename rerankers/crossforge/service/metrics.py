"""Counts and times for Prometheus, and nothing of what a request holds."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "crossforge_requests", "Requests, by path and status.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "crossforge_request_seconds", "Time from request to response.", ["path"], registry=registry
        )
        self._running = Gauge("crossforge_requests_running", "Requests in progress or waiting.", registry=registry)
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
        text: bytes = generate_latest(self._registry)
        return text

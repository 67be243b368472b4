"""What Prometheus is told: counts and times, and never anything of a request."""

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
            "crossforge_request_seconds", "Time from the first byte to the answer.", ["path"], registry=registry
        )
        self._running = Gauge("crossforge_requests_running", "Requests that are worked on or wait.", registry=registry)
        self._callers = Histogram(
            "crossforge_round_callers", "Callers that shared a round.", buckets=_SIZES[:8], registry=registry
        )
        self._pairs = Histogram("crossforge_round_pairs", "Pairs of a round.", buckets=_SIZES, registry=registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def running(self, requests: int) -> None:
        """So many requests are worked on or wait."""
        self._running.set(requests)

    def computed(self, callers: int, pairs: int) -> None:
        """A round was computed."""
        self._callers.observe(callers)
        self._pairs.observe(pairs)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        text: bytes = generate_latest(self._registry)
        return text

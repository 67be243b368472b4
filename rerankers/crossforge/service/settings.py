"""Settings of a service: its limits, its key, and where judgements go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# The environment variable with the key that clients must send.
KEY_VARIABLE = "CROSSFORGE_API_KEY"
# The names of this machine for itself.
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a request may be, and how many may wait.

    Attributes:
        body: bytes per request (413 beyond).
        documents: documents per request (413 beyond).
        query: characters of a query (422 beyond).
        document: characters of a document (422 beyond).
        requests: requests in progress or waiting in a process (429 beyond).
        seconds: time in which a body has to arrive (408 beyond).
    """

    body: int = 16 * 1024 * 1024
    documents: int = 1000
    query: int = 10_000
    document: int = 1_000_000
    requests: int = 64
    seconds: float = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """How a service behaves.

    Attributes:
        limits: see `Limits`.
        key: the bearer key that clients must send; None requires none.
        judgements: the file that judgements are appended to; None accepts none.
        allowed_hosts: host names that a service without a key answers to, besides those of the loopback. A page from
            elsewhere could otherwise have its own name resolved to this machine, and read the corpus.
        metrics: the folder where several processes of one service count together; None where there is one.
    """

    limits: Limits = field(default_factory=Limits)
    key: str | None = None
    judgements: Path | None = None
    allowed_hosts: Sequence[str] = ()
    metrics: Path | None = None

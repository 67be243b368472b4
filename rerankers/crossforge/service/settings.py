"""What a service is told: its limits, its key, and where judgements go."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

# The environment variable with the key that callers must send.
KEY_VARIABLE = "CROSSFORGE_API_KEY"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold, and how many requests may wait.

    Attributes:
        body: bytes of a request's body (413 beyond).
        documents: documents of a request (413 beyond).
        query: characters of a query (422 beyond).
        document: characters of a document (422 beyond).
        requests: requests that are worked on or wait (429 beyond).
    """

    body: int = 16 * 1024 * 1024
    documents: int = 1000
    query: int = 10_000
    document: int = 1_000_000
    requests: int = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """How a service behaves.

    Attributes:
        limits: see `Limits`.
        key: the bearer key that callers must send; None lets everybody in.
        judgements: the file that judgements are appended to; None takes none.
    """

    limits: Limits = field(default_factory=Limits)
    key: str | None = None
    judgements: Path | None = None

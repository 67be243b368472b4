"""How a run tells of its progress; the command line shows it, a library user may be silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

# Called with how much was done, and optionally a short text such as the current loss.
Advance = Callable[..., None]


class Reporter(Protocol):
    """Where progress goes."""

    def started(self, stage: str) -> None:
        """A stage begins."""

    def finished(self, stage: str, seconds: float) -> None:
        """A stage is done."""

    def skipped(self, stage: str) -> None:
        """A stage was done before."""

    def note(self, text: str) -> None:
        """One line that the user should see."""

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """A progress bar; call what it gives with the number of things done."""
        ...


class SilentReporter:
    """Says nothing."""

    def started(self, stage: str) -> None:
        """See `Reporter`."""

    def finished(self, stage: str, seconds: float) -> None:
        """See `Reporter`."""

    def skipped(self, stage: str) -> None:
        """See `Reporter`."""

    def note(self, text: str) -> None:
        """See `Reporter`."""

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """See `Reporter`."""
        yield lambda done=1, text="": None

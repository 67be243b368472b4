"""Progress reporting: the command line shows it; in the library, it is silent by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

# Called with the number of items done and, optionally, a short text such as the current loss, and the total if that may
# have changed.
Advance = Callable[..., None]


class Reporter(Protocol):
    """Receives the progress of a run."""

    def started(self, stage: str) -> None:
        """Called when a stage starts."""

    def finished(self, stage: str, seconds: float) -> None:
        """Called when a stage is done."""

    def skipped(self, stage: str) -> None:
        """Called for a stage that was already done."""

    def note(self, text: str) -> None:
        """Show one line to the user."""

    def confirm(self, text: str) -> bool:
        """Show what is about to be paid for, and say whether to go on: yes, unless somebody is asked and says no."""
        return True

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """Show a progress bar; call the yielded function with the number of items done."""
        ...


class SilentReporter:
    """A reporter that shows nothing."""

    def started(self, stage: str) -> None:
        """See `Reporter`."""

    def finished(self, stage: str, seconds: float) -> None:
        """See `Reporter`."""

    def skipped(self, stage: str) -> None:
        """See `Reporter`."""

    def note(self, text: str) -> None:
        """See `Reporter`."""

    def confirm(self, text: str) -> bool:
        """See `Reporter`."""
        return True

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """See `Reporter`."""
        yield lambda done=1, text="", total=None: None

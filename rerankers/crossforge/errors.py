"""User-fixable errors. Each message is one line that says what is wrong and how to fix it.

Of what a library says in many lines, `first_line` or `last_line` is what such a message quotes.
"""

from __future__ import annotations

import shlex


class CrossforgeError(Exception):
    """Base class of all errors caused by the user's input rather than by a bug.

    Attributes:
        exit_status: exit status of the command line.
    """

    exit_status = 1


class InputError(CrossforgeError):
    """A query, a document, a file or an argument that cannot be used."""


class PackageError(CrossforgeError):
    """A reranker that cannot be loaded: missing, incomplete, modified, of another kind or from a newer version."""


class NotCachedError(PackageError):
    """A hub id that is not in the local cache, where nothing may be downloaded; `args` are the id and the cause."""

    def __str__(self) -> str:
        return self._told("local_files_only=False allows a download")

    @property
    def for_commands(self) -> str:
        """The message for those who give a command or a config, which have no such argument."""
        return self._told(f"`hf download {shlex.quote(self.args[0])}` puts it there")

    def _told(self, way_out: str) -> str:
        reference, cause = self.args
        return f"{reference}: no such folder, and not in the hub cache; {way_out} ({cause})"


def first_line(error: BaseException) -> str:
    """What an error says first, without a full stop; the name of its type if it says nothing."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """What an error says last, as where its message quotes a traceback; otherwise as `first_line`."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    found = (line.strip().rstrip(".") for line in str(error).splitlines())
    return [line for line in found if line] or [type(error).__name__]

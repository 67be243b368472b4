"""User-fixable errors. Each message is one line that says what is wrong and how to fix it."""

from __future__ import annotations


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

"""The errors that a user can mend. Each message is one line that names what is wrong and the way out."""

from __future__ import annotations


class CrossforgeError(Exception):
    """Base of every error that is about the user's input and not about a bug.

    Attributes:
        exit_status: what the command line exits with.
    """

    exit_status = 1


class InputError(CrossforgeError):
    """A query, a document, a file or an argument that cannot be used."""


class PackageError(CrossforgeError):
    """A reranker folder that is incomplete, changed, foreign or from a newer version."""

"""How many threads a model computes with, for processes that share a machine."""

from __future__ import annotations

import os

from crossforge.errors import InputError

THREADS_VARIABLE = "CROSSFORGE_THREADS"


def threads() -> int | None:
    """What CROSSFORGE_THREADS says; None if it is not set, and libraries take a thread a core.

    Raises:
        InputError: it is no whole number of 1 or more.
    """
    value = os.environ.get(THREADS_VARIABLE, "")
    if not value:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise InputError(f"{THREADS_VARIABLE} is {value!r}; expected a whole number of 1 or more")
    return int(value)

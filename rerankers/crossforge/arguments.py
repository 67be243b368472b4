"""Checks what an app passes, so that a mistake shows at once and in words."""

from __future__ import annotations

import numpy as np

from crossforge.errors import InputError


def require_query(query: object) -> None:
    """Raise `InputError` unless `query` is a non-blank string."""
    if not isinstance(query, str):
        raise InputError(f"the query is a {type(query).__name__}; expected text")
    if not query.strip():
        raise InputError("the query is empty")


def require_count(name: str, value: object, least: int = 1) -> None:
    """Raise `InputError` unless `value` is an integer of at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number of {least} or more")


def require_number(name: str, value: object, least: float = 0) -> None:
    """Raise `InputError` unless `value` is a number of at least `least`."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool) or not value >= least:
        raise InputError(f"{name} is {value!r}; expected a number of {least:g} or more")

"""What an index must hold to be searched: it may come from anywhere, and would fail, or find nothing, much later."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Numbers that are looked at together: an array mapped from disk stays there.
_BLOCK = 1 << 24


def require_finite(name: str, array: NDArray[Any], least: float | None = None) -> None:
    """Raise `ValueError` unless all of an array are finite floating-point numbers, of `least` or more."""
    if array.dtype.kind != "f":
        raise ValueError(f"{name} holds {array.dtype}, and no floating-point numbers")
    rows = max(1, _BLOCK // max(1, array[:1].size))
    for start in range(0, len(array), rows):
        block = array[start : start + rows]
        if not np.isfinite(block).all():
            raise ValueError(f"{name} holds values that are no finite numbers")
        if least is not None and (block < least).any():
            raise ValueError(f"{name} holds values below {least:g}")


def require_distinct(name: str, values: Any) -> None:
    """Raise `ValueError` unless `values` is a list of strings, each of which occurs once."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is no list of strings")
    if len(set(values)) < len(values):
        raise ValueError(f"{name} holds a value twice")


def require_between(name: str, value: Any, least: float, most: float) -> float:
    """A number as `float`; raises `ValueError` unless it lies between `least` and `most`, both included."""
    number = float(value)
    if not least <= number <= most or isinstance(value, bool | str):
        raise ValueError(f"{name} is {value!r}; expected a number from {least:g} to {most:g}")
    return number

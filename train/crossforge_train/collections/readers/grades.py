"""Relevance labels of a table, as grades."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from crossforge.errors import InputError


def grade_of(value: Any, thresholds: Sequence[float], where: str) -> int:
    """The grade of a label, a number or its text.

    Args:
        value: the label.
        thresholds: labels from which a document has grade 1, 2, …, in rising order; if empty, the label is the grade.
        where: names its row in errors.

    Raises:
        InputError: it is no finite number, or no whole one and there are no thresholds.
    """
    number = _number(value, where)
    if thresholds:
        return bisect_right(thresholds, number)
    if not number.is_integer():
        raise InputError(
            f"{where}: the label {value} is no whole number; name the labels from which a document has grade 1, 2, … "
            "as thresholds of this source (docs/collections.md)"
        )
    return int(number)


def whole_number(value: Any, where: str) -> int:
    """The grade where only whole numbers may stand."""
    number = _number(value, where)
    if not number.is_integer():
        raise InputError(f"{where}: the label {value} is no whole number; write a grade such as 0, 1 or 2")
    return int(number)


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: the label {value!r:.40} is no number") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: the label {value!r:.40} is not finite")
    return number

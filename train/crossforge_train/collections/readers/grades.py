"""Relevance labels of a table, as grades."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any

from crossforge.errors import InputError
from crossforge_train.config.thresholds import rising


class Grading:
    """Makes grades of the labels of one source, and counts what became of them."""

    def __init__(self, key: str, thresholds: Sequence[float] | None = None) -> None:
        """Take the thresholds.

        Args:
            key: where they stand, or would stand, as errors name it.
            thresholds: labels from which a document has grade 1, 2, …, in rising order; if there are none, the label
                is the grade.

        Raises:
            InputError: they do not rise, or one is not finite.
        """
        try:
            self.thresholds = rising(tuple(thresholds or ())) or ()
        except ValueError as error:
            raise InputError(str(error)) from None
        self._key = key
        self._grades: Counter[int] = Counter()

    @property
    def counted(self) -> dict[str, int]:
        """How many labels became which grade, as collections count; nothing without thresholds."""
        return {f"labels that became grade {grade}": count for grade, count in sorted(self._grades.items())}

    def grade(self, value: Any, where: str) -> int:
        """The grade of a label, a number or its text.

        Args:
            value: the label.
            where: names its row in errors.

        Raises:
            InputError: it is no finite number, or no whole one and there are no thresholds.
        """
        number = _number(value, where)
        if self.thresholds:
            grade = bisect_right(self.thresholds, number)
            self._grades[grade] += 1
            return grade
        if not number.is_integer():
            raise InputError(
                f"{where}: the label {value} is no whole number; name the labels from which a document has grade 1, "
                f"2, … as {self._key} (docs/collections.md)"
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

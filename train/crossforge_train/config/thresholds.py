"""Labels that are no grades, such as a similarity from 0 to 1, and the key that makes grades of them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field


def rising(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """The thresholds themselves.

    Raises:
        ValueError: they do not rise, or one is not finite.
    """
    if values and not (all(map(math.isfinite, values)) and all(low < high for low, high in pairwise(values))):
        raise ValueError(f"thresholds must rise, not {', '.join(f'{value:g}' for value in values)}")
    return values


Thresholds = Annotated[
    tuple[float, ...] | None,
    AfterValidator(rising),
    Field(description="labels from which a document has grade 1, 2, …, in rising order; if empty or `null`, labels "
          "are whole numbers"),
]  # fmt: skip

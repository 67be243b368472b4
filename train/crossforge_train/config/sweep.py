"""The config section `sweep`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from crossforge_train.config.section import Section

Value = bool | int | float | str | None
Choices = Annotated[tuple[Value, ...], Field(min_length=1)]

_FORMS = "give {low, high}, with log: true for a logarithmic range, or a list of values"


class Range(Section):
    """Numbers from `low` to `high`, both included; whole numbers if both are whole."""

    low: int | float = Field(description="lowest value")
    high: int | float = Field(description="highest value")
    log: bool = Field(False, description="draw evenly on a logarithmic scale")

    @model_validator(mode="before")
    @classmethod
    def _is_a_range(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
            raise ValueError(_FORMS)
        return value

    @model_validator(mode="after")
    def _holds_something(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"the range is empty: low is {self.low}, high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range begins above 0, not at {self.low}")
        return self


def _form(value: Any) -> str:
    return "choices" if isinstance(value, list | tuple) else "range"


Candidates = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_form)]


class SweepConfig(Section):
    """Search over settings, by `crossforge sweep`."""

    trials: int = Field(20, ge=1, description="number of trainings to run")
    space: dict[str, Candidates] = Field({}, description="keys to search, each with a range or a list of values")

"""The config section `package`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from crossforge_train.config.section import Section


class PackageConfig(Section):
    """The reranker package."""

    allow_regression: bool = Field(False, description="package the reranker even if the verdict is REGRESSION")
    budget_ms: float | None = Field(
        None,
        gt=0,
        description="maximum milliseconds per query on this machine; dev picks depth, passages and backend within this "
        "budget",
    )
    layers: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (),
        description="numbers of transformer layers, each smaller than the trained model's; for each, a student with "
        "that many layers is distilled, and dev picks among all these models within `budget_ms`",
    )
    int8: bool = Field(False, description="add an int8 model if it loses at most 0.002 of the metric on dev")
    include_corpus: bool = Field(False, description="include corpus and index, for `crossforge search`")

    @field_validator("layers", mode="after")
    @classmethod
    def _each_once(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        """The deepest first, in whatever order they are listed: that alone makes no other run."""
        return tuple(sorted(set(layers), reverse=True))

    @model_validator(mode="after")
    def _within_a_budget(self) -> PackageConfig:
        if self.layers and self.budget_ms is None:
            raise ValueError("layers: students are picked within a time that a query may take; set budget_ms")
        return self

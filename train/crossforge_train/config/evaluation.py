"""The config section `evaluation`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from crossforge.backends.choice import AUTO
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError
from crossforge_train.config.plugins import OneOf
from crossforge_train.config.section import Section
from crossforge_train.measures import parse_measure


class EvaluationConfig(Section):
    """The proof."""

    metric: str = Field("nDCG@10", description="the measure that decides, by its ir_measures name")
    measures: tuple[str, ...] = Field(("nDCG@10", "RR@10", "R@10"), description="all measures that are reported")
    backend: Annotated[str, OneOf(BACKENDS, AUTO)] = Field(
        AUTO, description="what the reranker is measured on; auto: torch on a GPU, else what apps take by default"
    )
    depth: int = Field(100, ge=2, description="first-stage candidates that are reranked")
    depths: tuple[int, ...] = Field((10, 20, 50, 100, 200), description="rerank depths of the quality curve")
    deep_queries: int = Field(50, ge=1, description="queries of the curve, by a seeded draw, if it goes below depth")
    latency_queries: int = Field(10, ge=0, description="queries that are timed; 0 leaves latency out")
    bm25: bool = Field(True, description="measure BM25 beside the other systems")
    incumbent: str | None = Field(
        None,
        description="the reranker in use (package, cross-encoder folder, hub id) or its TREC run; must not be worse",
    )
    passages: int = Field(1, ge=1, description="passages that are read of a long document")
    max_queries: int | None = Field(None, ge=1, description="measure only so many queries a split, by a seeded draw")
    max_dev_queries: int | None = Field(500, ge=1, description="likewise, for what is chosen on dev")
    significance: float = Field(0.05, gt=0, lt=1, description="p value below which a difference counts")
    permutations: int = Field(20_000, ge=1000, description="draws of the randomization test and of the bootstrap")

    @field_validator("depths")
    @classmethod
    def _depths(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        if not depths or min(depths) < 1:
            raise ValueError("name one or more depths, each 1 or more")
        return tuple(sorted(set(depths)))

    @field_validator("metric")
    @classmethod
    def _canonical_metric(cls, name: str) -> str:
        return _canonical(name)

    @field_validator("measures")
    @classmethod
    def _canonical_measures(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_canonical, names))


def _canonical(measure: str) -> str:
    """MRR@10 and RR@10 are one measure; figures stand under the second name."""
    try:
        return str(parse_measure(measure))
    except InputError as error:
        raise ValueError(str(error)) from None

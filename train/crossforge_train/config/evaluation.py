"""The config section `evaluation`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from crossforge.backends.choice import AUTO
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError
from crossforge_train.config.plugins import OneOf
from crossforge_train.config.section import Section
from crossforge_train.measures import parse_measure

MINUTES = 15.0
_MOST_DEV_QUERIES = 500


class GuardConfig(Section):
    """A general collection that shows whether the reranker has forgotten what its base model could do."""

    beir: Path = Field(description="folder of the collection, in BEIR layout")
    split: str = Field("test", description="split to measure")
    margin: float = Field(0.01, gt=0, lt=1, description="accepted loss in the deciding measure")
    max_queries: int | None = Field(
        200, ge=1, description="maximum number of queries to measure, by a seeded draw; `null`: all"
    )


class EvaluationConfig(Section):
    """The proof on held-out queries."""

    metric: str = Field("nDCG@10", description="deciding measure, by its ir_measures name")
    measures: tuple[str, ...] = Field(("nDCG@10", "RR@10", "R@10"), description="measures to report")
    backend: Annotated[str, OneOf(BACKENDS, AUTO)] = Field(
        AUTO, description="backend to measure with; `auto`: torch on a GPU, otherwise the default of apps"
    )
    depth: Annotated[int, Field(ge=2)] | Literal["auto"] = Field(
        "auto",
        description="number of first-stage candidates to rerank; `auto`: on dev, the smallest of 20 to 200 beyond "
        "which a perfect reranker gains less than 0.005, or fewer if the shipped order gains nothing from more",
    )
    depths: tuple[int, ...] = Field((10, 20, 50, 100, 200), description="rerank depths of the depth curve")
    deep_queries: int = Field(
        50,
        ge=0,
        description="maximum number of queries, by a seeded draw, for the part of the curve beyond `depth`; 0: none",
    )
    latency_queries: int = Field(10, ge=0, description="maximum number of queries to time; 0: no latency figures")
    bm25: bool = Field(True, description="also measure BM25")
    incumbent: str | None = Field(
        None,
        description="reranker in use (package, cross-encoder folder, hub id) or its TREC run; the new one must not be "
        "worse",
    )
    guard: GuardConfig | None = Field(
        None, description="general collection that shows what was forgotten; it warns, and blocks nothing"
    )
    calibration: Literal["auto", "platt", "isotonic"] = Field(
        "auto",
        description="how logits become probabilities: `platt` can be folded into the model, so that every client shows "
        "them, `isotonic` cannot; `auto`: `platt`, unless `isotonic` is at least 2% better in held-out log loss",
    )
    passages: int = Field(1, ge=1, description="number of passages to read of a long document")
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        MINUTES,
        description="maximum minutes for reranking dev and test queries where their number is `auto`, estimated from a "
        "timed sample on this machine; at least 50 dev queries and 100 of each test split are measured; "
        "`null`: no limit",
    )
    max_queries: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        "auto",
        description="maximum number of queries to measure per split, by a seeded draw; `auto`: all that `minutes` "
        "allow; `null`: all",
    )
    max_dev_queries: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        "auto",
        description="maximum number of dev queries to rerank, for choices, by a seeded draw; `auto`: 500, or fewer if "
        "`minutes` allow only these; `null`: all. Choices that rerank nothing are made on up to 2,000",
    )
    significance: float = Field(0.05, gt=0, lt=1, description="p value below which a difference counts")
    permutations: int = Field(
        20_000, ge=1000, description="number of draws of the randomization test and the bootstrap"
    )

    @property
    def most_queries(self) -> int | None:
        """The most queries of a test split, however much time there is; None: all."""
        return None if self.max_queries == "auto" else self.max_queries

    @property
    def most_dev_queries(self) -> int | None:
        """The most dev queries, however much time there is; None: all."""
        return _MOST_DEV_QUERIES if self.max_dev_queries == "auto" else self.max_dev_queries

    @property
    def by_time(self) -> bool:
        """Whether a number of queries is left to `minutes`."""
        return "auto" in (self.max_queries, self.max_dev_queries)

    @property
    def has_limit(self) -> bool:
        """Whether the number of queries depends on the time that there is."""
        return self.minutes is not None and self.by_time

    @field_validator("depths")
    @classmethod
    def _depths(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        if not depths or min(depths) < 1:
            raise ValueError("name at least one depth; each is 1 or more")
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

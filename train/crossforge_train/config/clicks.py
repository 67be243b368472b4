"""The source `clicks:` of a `collection:` section."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator

from crossforge_train.config.documents import DocumentColumns
from crossforge_train.config.files import SplitFiles, one_split
from crossforge_train.config.section import Section


class ClickColumns(Section):
    """Columns of a click log."""

    query: str = Field("query", description="query text")
    document: str = Field("doc", description="id of the document that was shown")
    position: str = Field("position", description="its position on the page, a whole number")
    clicked: str = Field("clicked", description="whether it was clicked: 1, 0, true or false")
    dwell: str = Field("dwell", description="seconds spent on it; the column may be missing")
    purchased: str = Field("purchased", description="whether it was bought; the column may be missing")


class UbiFiles(Section):
    """Exports of OpenSearch's User Behavior Insights."""

    queries: Path = Field(description="the index `ubi_queries` as JSON Lines, where each row may be under `_source`")
    events: Path = Field(description="the index `ubi_events`, in the same form")
    dwell: str = Field("dwell_time", description="key of `event_attributes` that holds the seconds spent, if any")


class ClickWeights(Section):
    """How much each reaction to a document counts; of several, only the strongest counts."""

    click: float = Field(1.0, gt=0, description="a click")
    long_dwell: float = Field(2.0, gt=0, description="a click with a long dwell time")
    long_dwell_seconds: float = Field(30.0, gt=0, description="seconds from which a dwell time is long")
    add_to_cart: float = Field(3.0, gt=0, description="an `add_to_cart` event of UBI")
    purchase: float = Field(5.0, gt=0, description="a purchase")


class ClicksSource(Section):
    """Documents, and a log of impressions and clicks from which judgements are made."""

    corpus: Path = Field(description="a table, a text file, a BEIR folder, or a folder of `.md` and `.txt` files")
    corpus_columns: DocumentColumns = Field(DocumentColumns(), description="columns of the documents")
    log: SplitFiles | None = Field(
        None, description="table with a row for each document shown, or a table for each split"
    )
    columns: ClickColumns = Field(ClickColumns(), description="columns of the log")
    ubi: Annotated[dict[str, UbiFiles], BeforeValidator(lambda value: _one_ubi(value)), Field(min_length=1)] | None = (
        Field(None, description="User Behavior Insights instead of a log: a pair of files, or one for each split")
    )
    position_bias: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        description="how likely users are to look at the first, second, … position; `null`: estimated from the log",
    )
    min_impressions: int = Field(
        10, ge=1, description="how often a query must have shown a document for the pair to be judged"
    )
    prior: float = Field(
        1.0, ge=0, description="expected clicks added to draw a document towards the average of its positions"
    )
    grades: tuple[float, ...] = Field(
        (1.0, 1.5, 2.0),
        min_length=1,
        description="ratios of clicks to expected clicks from which a document has grade 1, 2, …, in rising order",
    )
    weights: ClickWeights = Field(ClickWeights(), description="weights of the reactions")

    @field_validator("grades")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in pairwise((0.0, *values))):
            raise ValueError(f"grades must rise from above 0, not {', '.join(f'{value:g}' for value in values)}")
        return values

    @model_validator(mode="after")
    def _one_log(self) -> ClicksSource:
        if (self.log is None) == (self.ubi is None):
            raise ValueError("give exactly one of log (a table) and ubi (User Behavior Insights)")
        return self


def _one_ubi(value: object) -> object:
    """One pair of files stands for the training split."""
    return {"train": value} if isinstance(value, dict) and {"queries", "events"} & value.keys() else one_split(value)

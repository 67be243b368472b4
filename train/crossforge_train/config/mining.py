"""The config section `mining`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from crossforge_train.config.section import Section


class Band(Section):
    """Ranks of the first stage, and how many negatives a group takes from them."""

    first: int = Field(ge=1, description="the first rank of the band")
    last: int = Field(ge=1, description="its last rank")
    negatives: int = Field(ge=1, description="negatives from it")


class MiningSource(Section):
    """Candidates from elsewhere than the first stage."""

    run: Path | None = Field(None, description="a TREC run file that holds the training queries")
    dense: str | None = Field(None, description="a SentenceTransformer: folder, or hub id in the local cache")
    quota: int = Field(1, ge=1, description="negatives a group that come from here")

    @model_validator(mode="after")
    def _one_kind(self) -> MiningSource:
        if (self.run is None) == (self.dense is None):
            raise ValueError("give exactly one of run (a TREC run file) and dense (a SentenceTransformer)")
        return self

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"run {self.run.name}" if self.run else f"dense {Path(str(self.dense)).name}"


class MiningConfig(Section):
    """Hard negatives."""

    negatives: int = Field(5, ge=1, description="negatives a group")
    random_negatives: int = Field(0, ge=0, description="how many of them are drawn from the whole corpus")
    choice: Literal["top", "sample", "stratified"] = Field(
        "sample", description="the highest-ranked candidates, a seeded draw from the window, or a draw from each band"
    )
    bands: tuple[Band, ...] = Field((), description="for stratified: bands of ranks, each {first, last, negatives}")
    sources: tuple[MiningSource, ...] = Field(
        (), description="other sources of candidates: {run: FILE, quota: 1} or {dense: MODEL, quota: 1}"
    )
    skip_top: int = Field(0, ge=0, description="ranks left out at the top")
    window: int = Field(50, ge=1, description="last rank that may be chosen")
    near_copy: float | None = Field(
        0.8, gt=0, le=1, description="word 3-gram overlap from which a text is a copy of a positive; null: none is"
    )
    max_queries: int | None = Field(None, ge=1, description="mine only so many training queries, by a seeded draw")
    rounds: Literal[1, 2] = Field(
        1, description="2: train, mine the mistakes of that reranker among the candidates, and train on"
    )
    teacher: str | None = Field(
        "auto",
        description="base: cosines of the base model used as a bi-encoder; a cross-encoder: folder or hub id; "
        "null: none; auto: base where the base model is a bi-encoder",
    )
    teacher_margin: float | None = Field(
        0.95,
        gt=0,
        description="share of the positive's probability by a cross-encoder teacher that a negative may have",
    )
    above_margin: Literal["drop", "relabel"] = Field(
        "drop", description="what becomes of candidates above the margin: dropped, or trained on as relevant"
    )

    @model_validator(mode="after")
    def _fits(self) -> MiningConfig:
        if self.random_negatives > self.negatives:
            raise ValueError(f"random_negatives ({self.random_negatives}) is a part of negatives ({self.negatives})")
        if self.skip_top >= self.window:
            raise ValueError(f"skip_top ({self.skip_top}) leaves nothing of window ({self.window})")
        elsewhere = sum(source.quota for source in self.sources)
        if elsewhere > self.hard:
            raise ValueError(
                f"the quotas of sources ({elsewhere}) are more than negatives less random ones ({self.hard})"
            )
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources are called the same: {', '.join(names)}")
        self._check_bands(self.hard - elsewhere)
        return self

    def _check_bands(self, wanted: int) -> None:
        if (self.choice == "stratified") != bool(self.bands):
            raise ValueError("bands and choice: stratified belong together: give both or neither")
        if wrong := next((band for band in self.bands if band.last < band.first), None):
            raise ValueError(f"a band ends at rank {wrong.last}, before it begins at {wrong.first}")
        if self.bands and (found := sum(band.negatives for band in self.bands)) != wanted:
            raise ValueError(f"the bands hold {found} negatives, but {wanted} are to come from the first stage")

    @property
    def hard(self) -> int:
        """Negatives a group that are not random."""
        return self.negatives - self.random_negatives

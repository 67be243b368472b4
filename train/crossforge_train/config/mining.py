"""The config section `mining`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from crossforge_train.config.rerank_api import RerankApiConfig
from crossforge_train.config.section import Section

AUTO: Final[Literal["auto"]] = "auto"


class Band(Section):
    """A band of first-stage ranks, and how many negatives per group come from it."""

    first: int = Field(ge=1, description="first rank of the band")
    last: int = Field(ge=1, description="last rank of the band")
    negatives: int = Field(ge=1, description="negatives per group from the band")


class MiningSource(Section):
    """A source of candidates other than the first stage."""

    run: Path | None = Field(None, description="TREC run file that covers training queries")
    dense: str | None = Field(None, description="SentenceTransformer: a folder, or a hub id in the local cache")
    quota: int = Field(1, ge=1, description="negatives per group from this source")

    @model_validator(mode="after")
    def _one_kind(self) -> MiningSource:
        if (self.run is None) == (self.dense is None):
            raise ValueError("give exactly one of run (a TREC run file) and dense (a SentenceTransformer)")
        return self

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"run {self.run.name}" if self.run else f"dense {Path(str(self.dense)).name}"


class WeightedTeacher(Section):
    """One of several teachers: a name, with or without a weight."""

    name: str = Field(description="name of the teacher, as in `mining.teacher`, except `auto`")
    weight: float = Field(1.0, gt=0, description="weight of its scores in the average")


def _each_with_a_name(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [{"name": one} if isinstance(one, str) else one for one in value]
    if isinstance(value, str | None):
        return value
    raise ValueError(f"a teacher is a name, and several are a list of names, not {value!r}")


SeveralTeachers = Annotated[tuple[WeightedTeacher, ...], Field(min_length=2)]


class MiningConfig(Section):
    """Hard negatives, and the teacher that scores them."""

    negatives: int = Field(5, ge=1, description="negatives per group")
    random_negatives: int = Field(
        0, ge=0, description="how many of `negatives` are drawn at random from the whole corpus"
    )
    choice: Literal["auto", "top", "sample", "stratified"] = Field(
        AUTO,
        description="take the highest-ranked candidates (`top`), a seeded draw from the window (`sample`), or a draw "
        "from each band (`stratified`); `auto`: `top` if the base model is a teacher, its vectors find some of the "
        "candidates, and people judged most training queries, otherwise `sample`",
    )
    bands: tuple[Band, ...] = Field((), description="bands of ranks for `choice: stratified`")
    sources: tuple[MiningSource, ...] = Field((), description="further sources of candidates")
    dense_negatives: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="negatives per group that a hybrid first stage finds by vectors; `auto`: half of those that are "
        "neither random nor from `sources`; 0 with `bands`",
    )
    skip_top: int = Field(0, ge=0, description="number of top ranks to leave out")
    window: int = Field(50, ge=1, description="last rank to choose from")
    near_copy: float | None = Field(
        0.8, gt=0, le=1, description="word 3-gram overlap at which a text counts as a copy of a positive; `null`: never"
    )
    max_queries: int | None = Field(
        None, ge=1, description="maximum number of training queries to mine, by a seeded draw; `null`: all"
    )
    rounds: Literal[1, 2] = Field(
        1, description="`1`, or `2`: train, mine that reranker's mistakes among the candidates, and continue training"
    )
    teacher: Annotated[SeveralTeachers | str | None, BeforeValidator(_each_with_a_name)] = Field(
        "auto",
        description="teacher that scores the groups. `base`: cosines of the base model, used as a bi-encoder; "
        "`scores`: scores that were computed elsewhere; `rerank_api`: a rerank API; "
        "the name of a plug-in: that plug-in; a folder or hub id: that reranker; `auto`: `base` if the base model "
        "is a bi-encoder; `null`: none; a list of these names: their average",
    )
    teacher_scores: Path | None = Field(
        None,
        description="table of `query-id`, `corpus-id` and `score` for `teacher: scores`; `null`: the scores in the "
        "collection's own files",
    )
    rerank_api: RerankApiConfig | None = Field(None, description="the API for `teacher: rerank_api`")
    teacher_margin: float | None = Field(
        0.95,
        gt=0,
        description="with a cross-encoder or rerank API as the teacher, the share of the positive's probability that a "
        "negative may reach; `null`: no limit",
    )
    above_margin: Literal["drop", "relabel"] = Field(
        "drop", description="`drop` candidates above the margin, or `relabel` them and train on them as relevant"
    )

    @model_validator(mode="after")
    def _fits(self) -> MiningConfig:
        self._check_teachers()
        if self.random_negatives > self.negatives:
            raise ValueError(f"random_negatives ({self.random_negatives}) is a part of negatives ({self.negatives})")
        if self.skip_top >= self.window:
            raise ValueError(f"skip_top ({self.skip_top}) leaves nothing of window ({self.window})")
        elsewhere = self.hard - self.retrieved
        if self.retrieved < 0:
            raise ValueError(
                f"the quotas of sources ({elsewhere}) are more than negatives less random ones ({self.hard})"
            )
        if self.dense_negatives != "auto" and self.dense_negatives > self.retrieved:
            raise ValueError(f"dense_negatives ({self.dense_negatives}) are more than is left ({self.retrieved})")
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources are called the same: {', '.join(names)}")
        self._check_bands(self.retrieved)
        return self

    def _check_teachers(self) -> None:
        names = [teacher.name for teacher in self.teachers]
        if len(set(names)) < len(names):
            raise ValueError(f"a teacher is named twice: {', '.join(names)}")
        if len(names) > 1 and "auto" in names:
            raise ValueError("teacher: auto stands alone; among several it is called base")
        if self.teacher_scores is not None and "scores" not in names:
            raise ValueError(f"teacher_scores is for teacher: scores, not {', '.join(names) or 'null'}")
        if (self.rerank_api is not None) != ("rerank_api" in names):
            raise ValueError("teacher: rerank_api and the section rerank_api belong together: give both or neither")

    def _check_bands(self, wanted: int) -> None:
        if (self.choice == "stratified") != bool(self.bands):
            raise ValueError("bands and choice: stratified belong together: give both or neither")
        if wrong := next((band for band in self.bands if band.last < band.first), None):
            raise ValueError(f"a band ends at rank {wrong.last}, before it begins at {wrong.first}")
        if self.bands and (found := sum(band.negatives for band in self.bands)) != wanted:
            raise ValueError(f"the bands hold {found} negatives, but {wanted} are to come from the first stage")

    @property
    def teachers(self) -> tuple[WeightedTeacher, ...]:
        """The teachers; none, one or several."""
        if isinstance(self.teacher, tuple):
            return self.teacher
        return () if self.teacher is None else (WeightedTeacher(name=self.teacher),)

    @property
    def hard(self) -> int:
        """Negatives a group that are not random."""
        return self.negatives - self.random_negatives

    @property
    def retrieved(self) -> int:
        """Negatives a group that the first stage is to find."""
        return self.hard - sum(source.quota for source in self.sources)

    @property
    def dense(self) -> int:
        """How many of them a hybrid first stage finds by vectors."""
        if self.dense_negatives != "auto":
            return self.dense_negatives
        return 0 if self.bands else self.retrieved // 2

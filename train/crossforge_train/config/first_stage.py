"""The config section `first_stage`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from crossforge.retrievers.registry import LEXICAL, RETRIEVERS
from crossforge.retrievers.weighting import Weighting
from crossforge_train.config.plugins import OneOf
from crossforge_train.config.section import Section

# The settings of the kind `lexical`; those of other kinds stand in `options`.
_LEXICAL: Final = ("analyzer", "language", "weighting", "title_weight")
_NOT_LEXICAL: Final = ("kind", "options")


class FirstStageConfig(Section):
    """Retrieval of the candidates."""

    kind: Annotated[str, OneOf(RETRIEVERS)] = Field(LEXICAL, description="what retrieves the candidates")
    analyzer: Literal["auto", "word", "char"] = Field(
        "auto", description="stemmed words, character n-grams, or whichever suits the corpus"
    )
    language: str = Field("english", description="Snowball language of `analyzer: word`, or `none`")
    weighting: Weighting = Field("tfidf", description="cosine of sublinear TF-IDF vectors, or BM25")
    title_weight: float = Field(1.0, ge=0, le=100, description="how often a word of a title counts")
    options: dict[str, Any] = Field({}, description="settings of a plug-in `kind`")
    depth: int = Field(200, ge=1, le=10_000, description="candidates per query")

    @model_validator(mode="after")
    def _settings_of_its_kind(self) -> FirstStageConfig:
        if self.is_lexical and self.options:
            raise ValueError(f"options are for plug-ins; kind: {LEXICAL} has {', '.join(_LEXICAL)}")
        if not self.is_lexical and (wrong := [key for key in _LEXICAL if key in self.model_fields_set]):
            raise ValueError(f"{', '.join(wrong)}: for kind: {LEXICAL} alone; settings of {self.kind} go into options")
        return self

    @property
    def is_lexical(self) -> bool:
        """Whether it is the built-in index of terms."""
        return self.kind == LEXICAL

    @property
    def settings(self) -> dict[str, Any]:
        """What the kind is fitted with."""
        return self.model_dump(include=set(_LEXICAL)) if self.is_lexical else self.options

    @property
    def tag(self) -> str:
        """What its TREC runs are called."""
        return self.weighting if self.is_lexical else self.kind

    def fingerprint(self) -> dict[str, Any]:
        """What its candidates depend on; the same as before there were kinds, where that is all there is."""
        return self.model_dump(exclude=set(_NOT_LEXICAL if self.is_lexical else _LEXICAL))

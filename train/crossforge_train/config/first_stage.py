"""The config section `first_stage`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.registry import DENSE, HYBRID, LEXICAL, RETRIEVERS
from crossforge.retrievers.weighting import Weighting
from crossforge_train.config.plugins import OneOf
from crossforge_train.config.section import Section

AUTO: Final[Literal["auto"]] = "auto"

# The settings of the built-in kinds, by kind; those of others stand in `options`.
_LEXICAL: Final = ("analyzer", "language", "weighting", "title_weight")
_DENSE: Final = ("encoder", "encoder_max_length", "tune_encoder", "query_map", "approximate")
# Holds wherever a bi-encoder reads, as teacher and in the proof.
_ANYWAY: Final = ("encoder_max_length",)
_SETTINGS: Final = {
    AUTO: (*_LEXICAL, *_DENSE),
    LEXICAL: (*_LEXICAL, *_ANYWAY),
    DENSE: _DENSE,
    HYBRID: (*_LEXICAL, *_DENSE),
}


class FirstStageConfig(Section):
    """Retrieval of candidates."""

    kind: Annotated[str, OneOf(RETRIEVERS, AUTO)] = Field(
        AUTO,
        description="kind of retriever; `auto`: `hybrid` if the base model is a bi-encoder that embeds the corpus "
        "within ten minutes, estimated from a timed sample, otherwise `lexical`",
    )
    analyzer: Literal["auto", "word", "char"] = Field(
        "auto", description="stemmed words (`word`), character n-grams (`char`), or whichever suits the corpus (`auto`)"
    )
    language: str = Field(
        "english",
        description="Snowball language for `analyzer: word`, or `none`; only with it, since `auto` finds the language "
        "of the corpus",
    )
    weighting: Weighting | Literal["auto"] = Field(
        AUTO,
        description="cosine of sublinear TF-IDF vectors, or BM25; `auto`: `bm25` within `hybrid`, otherwise `tfidf`",
    )
    title_weight: float = Field(1.0, ge=0, le=100, description="how many times a word of the title counts")
    encoder: str | None = Field(
        None,
        description="bi-encoder for the kinds `dense` and `hybrid`: a folder or hub id; `null`: the base model",
    )
    encoder_max_length: Annotated[int, Field(ge=8, le=8192)] | Literal["auto"] | None = Field(
        AUTO,
        description="tokens of a text that a bi-encoder reads, here, as the teacher and in the proof. `null`: as many "
        "as it can, 512 at most; a number may be higher. `auto`: 128, 256 or as many as `null`, whichever does best on "
        "training and dev queries that people asked and judged, or on titles. `auto` acts as `null` with fewer than "
        "twenty of these, with short documents, if trying the lengths would take too long, with another `encoder`, or "
        "with a `kind` that embeds nothing",
    )
    tune_encoder: bool = Field(
        True,
        description="first train the base model as a bi-encoder on the training queries, for at most ten minutes, and "
        "use it if dev gains from it (kinds `dense` and `hybrid`)",
    )
    query_map: bool = Field(
        True,
        description="learn a linear map of the query vectors from the training queries, and use it as far as dev gains "
        "from it (kinds `dense` and `hybrid`)",
    )
    approximate: bool | Literal["auto"] = Field(
        AUTO,
        description="search vectors approximately when serving; `auto`: beyond 64 million numbers, which are 166,000 "
        "documents of 384 dimensions (kinds `dense` and `hybrid`)",
    )
    options: dict[str, Any] = Field({}, description="settings of any other `kind`")
    depth: int = Field(200, ge=1, le=10_000, description="candidates per query")

    @model_validator(mode="after")
    def _settings_of_its_kind(self) -> FirstStageConfig:
        own = _SETTINGS.get(self.kind)
        if own is not None and self.options:
            raise ValueError(f"options are for other kinds; kind: {self.kind} has {', '.join(own)}")
        for kind in (LEXICAL, DENSE):
            foreign = [key for key in _SETTINGS[kind] if key in self.model_fields_set and key not in (own or _ANYWAY)]
            if foreign:
                way_out = "its settings go into options" if own is None else "leave them out"
                raise ValueError(f"{', '.join(foreign)}: no settings of kind: {self.kind}; {way_out}")
        return self

    @model_validator(mode="after")
    def _language_is_read(self) -> FirstStageConfig:
        if "language" not in self.model_fields_set:
            return self
        if self.analyzer != "word":
            raise ValueError(f"language: analyzer: {self.analyzer} ignores it; add analyzer: word, or leave it out")
        try:
            Analyzer(language=self.language)
        except InputError as error:
            raise ValueError(f"language: {error}") from None
        return self

    @property
    def lexical(self) -> dict[str, Any]:
        """The settings of the index of terms."""
        chosen: Weighting = "bm25" if self.kind == HYBRID else "tfidf"
        weighting = chosen if self.weighting == AUTO else self.weighting
        return {**self.model_dump(include=set(_LEXICAL)), "weighting": weighting}

    @property
    def for_mining(self) -> FirstStageConfig:
        """The index of terms that hard negatives come from where the first stage is more than that: TF-IDF."""
        return self.model_copy(update={"kind": LEXICAL, "weighting": "tfidf"})

    @property
    def encoder_tokens(self) -> int | None:
        """`encoder_max_length`; `auto`, where nothing was chosen, reads all that the encoder can."""
        return None if self.encoder_max_length == AUTO else self.encoder_max_length

    @property
    def embeds(self) -> bool:
        """Whether it may need vectors of the corpus."""
        return self.kind in (AUTO, DENSE, HYBRID)

    def of_kind(self, kind: str) -> FirstStageConfig:
        """The same settings for the kind that `auto` came to."""
        return self.model_copy(update={"kind": kind})

    def fingerprint(self) -> dict[str, Any]:
        """What its candidates depend on; the same as before there were kinds, where that is all there is."""
        every = {*_LEXICAL, *_DENSE, "options"}
        if self.kind == LEXICAL:
            return {**self.model_dump(exclude={"kind", *every.difference(_LEXICAL)}), **self.lexical}
        usual = {"approximate"} if self.approximate == AUTO else set()
        return self.model_dump(exclude=every.difference(_SETTINGS.get(self.kind, ("options",))) | usual)

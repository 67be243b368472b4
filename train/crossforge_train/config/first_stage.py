"""The config section `first_stage`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossforge.retrievers.weighting import Weighting
from crossforge_train.config.section import Section


class FirstStageConfig(Section):
    """Lexical retrieval."""

    analyzer: Literal["auto", "word", "char"] = Field(
        "auto", description="stemmed words, character n-grams, or by the corpus"
    )
    language: str = Field("english", description="Snowball language of analyzer: word, or none")
    weighting: Weighting = Field("tfidf", description="tfidf (cosine of sublinear vectors) or bm25")
    title_weight: float = Field(1.0, ge=0, le=100, description="how often a word of a title counts")
    depth: int = Field(200, ge=1, le=10_000, description="candidates a query")

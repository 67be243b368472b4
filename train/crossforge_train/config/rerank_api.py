"""The key `rerank_api` of the section `mining`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from crossforge_train.config.asking import AskingConfig


class RerankApiConfig(AskingConfig):
    """A rerank API that scores documents for a query."""

    url: str = Field(pattern=r"^https?://", description="full URL, such as `https://api.jina.ai/v1/rerank`")
    dialect: Literal["cohere", "tei"] = Field(
        "cohere",
        description="request format: `cohere` for Cohere, Jina, vLLM and most others, "
        "`tei` for Text Embeddings Inference",
    )
    model: str | None = Field(None, description="model name, as the API knows it; `null` only with `dialect: tei`")
    scale: Literal["probability", "logit", "unknown"] = Field(
        "probability",
        description="scale of its scores; on the scale `unknown`, none is above `teacher_margin`",
    )
    key_variable: str = Field(
        "RERANK_API_KEY", description="environment variable that holds the API key, if one is needed"
    )
    retries: int = Field(5, ge=0, le=10, description="retries of a failed request")
    batch: int = Field(32, ge=1, le=1000, description="maximum number of documents per request")
    max_document_characters: int = Field(4000, ge=100, description="maximum document characters to send")
    max_calls: int = Field(
        10_000,
        ge=1,
        description="maximum number of requests, including retries and those of a killed run for the same pairs",
    )
    cache: Path = Field(Path("runs/reranked"), description="folder where scores are kept")

    @model_validator(mode="after")
    def _knows_its_model(self) -> RerankApiConfig:
        if self.model is None and self.dialect != "tei":
            raise ValueError("model is missing; only dialect: tei serves a single one")
        return self

    @property
    def raw(self) -> bool:
        """Whether it is asked for logits: others than Text Embeddings Inference give what they give."""
        return self.dialect == "tei" and self.scale == "logit"

    @property
    def scored_by(self) -> dict[str, str | int | bool]:
        """What decides the numbers that it gives."""
        return {
            "model": self.model or self.url,
            "dialect": self.dialect,
            "raw": self.raw,
            "max_document_characters": self.max_document_characters,
        }

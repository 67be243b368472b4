"""The bodies of requests and answers. Unknown keys are passed over, as clients of several services send them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

Query = Annotated[StrictStr, Field(min_length=1, description="What is searched for.")]
Count = Annotated[StrictInt, Field(ge=0)]


class TextDocument(BaseModel):
    """A document as an object."""

    text: StrictStr
    title: StrictStr = ""


class RerankRequest(BaseModel):
    """The shape that Cohere and Jina gave to reranking."""

    model: StrictStr | None = Field(default=None, description="Passed over: a service has one model.")
    query: Query
    documents: list[StrictStr | TextDocument]
    top_n: Count | None = Field(default=None, description="Give only so many; all if left out.")
    return_documents: StrictBool = False


class TextsRequest(BaseModel):
    """The shape of text-embeddings-inference."""

    query: Query
    texts: list[StrictStr]
    raw_scores: StrictBool = Field(default=False, description="Logits in place of probabilities.")
    return_text: StrictBool = False
    truncate: StrictBool = Field(default=True, description="False refuses texts that are longer than the model reads.")


def _shape(body: Any) -> str:
    found = body.get("texts") if isinstance(body, dict) else getattr(body, "texts", None)
    return "documents" if found is None else "texts"


EitherRequest = Annotated[
    Annotated[RerankRequest, Tag("documents")] | Annotated[TextsRequest, Tag("texts")], Discriminator(_shape)
]


class RankedDocument(BaseModel):
    """One result: the document's position in the request, and its calibrated probability."""

    index: int
    relevance_score: float
    document: TextDocument | None = None


class Usage(BaseModel):
    """What was read."""

    total_tokens: int


class RerankResponse(BaseModel):
    """Results, best first."""

    model: str
    results: list[RankedDocument]
    usage: Usage


class ScoredText(BaseModel):
    """One result: the text's position in the request, and its probability or logit."""

    index: int
    score: float
    text: str | None = None


class SearchRequest(BaseModel):
    """What is searched for in the corpus of the service."""

    query: Query
    k: Count = 10


class Found(BaseModel):
    """One document that was found."""

    rank: int
    doc_id: str
    title: str
    text: str
    passage: str = Field(description="The part of the document that the reranker read and scored highest.")
    score: float = Field(description="The logit.")
    probability: float
    relevant: bool = Field(description="Whether the probability reaches the threshold.")
    first_stage_rank: int
    first_stage_score: float
    movement: int
    metadata: dict[str, Any]


class SearchResponse(BaseModel):
    """What was found, best first."""

    query: str
    threshold: float | None
    results: list[Found]


class Judgement(BaseModel):
    """What a person says of a document that was found."""

    query: Query
    doc_id: StrictStr
    relevant: StrictBool


class Health(BaseModel):
    """What serves."""

    status: str
    model: str
    backend: str
    documents: int | None = Field(description="How many the corpus has; null without one.")
    judging: bool
    threshold: float | None
    version: str


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str

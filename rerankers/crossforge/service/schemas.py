"""Request and response bodies. Unknown keys are ignored: clients of several services send some."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

Query = Annotated[StrictStr, Field(min_length=1, description="What to search for.")]
Count = Annotated[StrictInt, Field(ge=0)]


class TextDocument(BaseModel):
    """A document with an optional title."""

    text: StrictStr
    title: StrictStr = ""


class RerankRequest(BaseModel):
    """A request in the format of Cohere and Jina."""

    model: StrictStr | None = Field(default=None, description="Ignored: a service has one model.")
    query: Query
    documents: list[StrictStr | TextDocument]
    top_n: Count | None = Field(default=None, description="Maximum number of results. Default: all.")
    return_documents: StrictBool = False


class TextsRequest(BaseModel):
    """A request in the format of text-embeddings-inference."""

    query: Query
    texts: list[StrictStr]
    raw_scores: StrictBool = Field(default=False, description="Return logits in place of probabilities.")
    return_text: StrictBool = False
    truncate: StrictBool = Field(default=True, description="False refuses texts longer than the model reads.")


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
    """What the model read."""

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
    """A search in the service's corpus."""

    query: Query
    k: Count = 10


class Found(BaseModel):
    """One document of a search result."""

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
    """Search results, best first."""

    query: str
    threshold: float | None
    reranked: bool = Field(
        description="False if the query leaves the model no room for a document: the order is the first stage's."
    )
    results: list[Found]


class Judgement(BaseModel):
    """A person's judgement of a search result."""

    query: Query
    doc_id: StrictStr
    relevant: StrictBool


class Health(BaseModel):
    """The state of the service."""

    status: str
    model: str
    backend: str
    documents: int | None = Field(description="Number of documents in the corpus; null without one.")
    first_stage: str | None = Field(description="What retrieves from the corpus, such as TF-IDF; null without one.")
    judging: bool = Field(description="Whether judgements are accepted.")
    threshold: float | None
    version: str


class Refusal(BaseModel):
    """Why the request was refused."""

    detail: str

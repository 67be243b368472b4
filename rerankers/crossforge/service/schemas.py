"""Request and response bodies. Unknown fields are refused: a client that sends one counts on what it would do."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

Query = Annotated[StrictStr, Field(min_length=1, description="What to search for.")]
Count = Annotated[StrictInt, Field(ge=0)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextDocument(BaseModel):
    """A document with an optional title; other fields of it are not read."""

    text: StrictStr
    title: StrictStr = ""


# Tags stand in the places of errors, between the names of fields; no field's name looks like one.
def is_tag(part: object) -> bool:
    """Whether a part of the place of an error is a tag, which means nothing to clients."""
    return isinstance(part, str) and part.startswith("<")


AnyDocument = Annotated[
    Annotated[StrictStr, Tag("<text>")] | Annotated[TextDocument, Tag("<object>")],
    Discriminator(lambda found: "<object>" if isinstance(found, dict | TextDocument) else "<text>"),
]
Model = Annotated[StrictStr | None, Field(description="Not looked at: a service has one model.")]
Instruction = Annotated[
    StrictStr | None,
    Field(description="What the template of a decoder says in place of its default instruction; refused without one."),
]
RawScores = Annotated[StrictBool, Field(description="Return logits in place of probabilities.")]


class RerankRequest(_Request):
    """A request in the format of Cohere, Jina and vLLM."""

    model: Model = None
    query: Query
    documents: list[AnyDocument]
    top_n: Count | None = Field(
        default=None,
        validation_alias=AliasChoices("top_n", "top_k"),
        description="Maximum number of results. Default: all. Also called top_k.",
    )
    return_documents: StrictBool = False
    raw_scores: RawScores = False
    instruction: Instruction = None


class TextsRequest(_Request):
    """A request in the format of text-embeddings-inference."""

    model: Model = None
    query: Query
    texts: list[StrictStr]
    raw_scores: RawScores = False
    instruction: Instruction = None
    return_text: StrictBool = False
    truncate: StrictBool = Field(
        default=True, description="False refuses texts longer than the model reads. A query is never cut."
    )


EitherRequest = Annotated[
    Annotated[RerankRequest, Tag("<documents>")] | Annotated[TextsRequest, Tag("<texts>")],
    Discriminator(lambda body: "<texts>" if isinstance(body, dict) and "texts" in body else "<documents>"),
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


class SearchRequest(_Request):
    """A search in the service's corpus."""

    query: Query
    k: Count = Field(default=10, description="Number of results; no more than are reranked (--depth).")
    instruction: Instruction = None
    origins: StrictBool = Field(
        default=False, description="Say which part of a first stage that combines several found each document."
    )


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
    origins: dict[str, int] = Field(
        description="Rank in each part of the first stage that found it, such as BM25 and dense, if asked for."
    )
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


class Judgement(_Request):
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

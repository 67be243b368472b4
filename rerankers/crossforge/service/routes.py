"""The endpoints. What scores runs in threads, so that the event loop stays free; `SharedReranker` brings them together.

What only tells of the service runs in the event loop itself: it must not wait for a thread while all of them score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, HTTPException, Response

from crossforge import __version__
from crossforge.documents import Document, json_metadata
from crossforge.errors import InputError
from crossforge.pipeline import RetrieveAndRerank
from crossforge.results import RankedResults, Result
from crossforge.service.batches import SharedReranker
from crossforge.service.judgements import JudgementLog
from crossforge.service.metrics import CONTENT_TYPE, Metrics
from crossforge.service.schemas import (
    EitherRequest,
    Found,
    Health,
    Judgement,
    RankedDocument,
    Refusal,
    RerankRequest,
    RerankResponse,
    ScoredText,
    SearchRequest,
    SearchResponse,
    TextDocument,
    TextsRequest,
    Usage,
)
from crossforge.service.settings import Limits, Settings

# The page shows itself alone: nothing from outside is fetched, whatever a document holds.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The body cannot be read."},
    401: {"model": Refusal, "description": "The key is missing or wrong."},
    403: {"model": Refusal, "description": "Without a key: the host or origin is not this machine's."},
    408: {"model": Refusal, "description": "The body did not arrive in time."},
    413: {"model": Refusal, "description": "The body or the list of documents is too long."},
    422: {"model": Refusal, "description": "A value in the body is not valid."},
    429: {"model": Refusal, "description": "Too many requests are waiting."},
}
_NO_CORPUS = "this service has no corpus; start it with --corpus FILE or with a package that holds one"
_NO_JUDGING = "this service accepts no judgements; start it with --judgements FILE"


@dataclass(frozen=True)
class Served:
    """What the endpoints use."""

    name: str
    reranker: SharedReranker
    search: RetrieveAndRerank | None
    settings: Settings
    metrics: Metrics
    judgements: JudgementLog | None


def make_router(served: Served) -> APIRouter:
    """All endpoints over what is served."""
    router = APIRouter()
    page = files("crossforge.service").joinpath("page.html").read_text(encoding="utf-8")

    @router.get("/", include_in_schema=False)
    async def show_page() -> Response:
        headers = {"content-security-policy": _PAGE_POLICY, "referrer-policy": "no-referrer"}
        return Response(page, media_type="text/html", headers=headers)

    @router.get("/health")
    async def health() -> Health:
        """Report that the service is up and what it serves."""
        return Health(
            status="ok",
            model=served.name,
            backend=served.reranker.backend_name,
            documents=None if served.search is None else len(served.search),
            first_stage=None if served.search is None else served.search.first_stage,
            judging=served.judgements is not None and served.search is not None,
            threshold=served.reranker.manifest.threshold,
            version=__version__,
        )

    @router.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, 401: _REFUSALS[401], 403: _REFUSALS[403]},
        response_class=Response,
    )
    async def metrics() -> Response:
        """Return counts and times for Prometheus."""
        return Response(served.metrics.text(), headers={"content-type": CONTENT_TYPE})

    @router.post("/v2/rerank", responses=_REFUSALS, response_model_exclude_none=True)
    @router.post("/v1/rerank", responses=_REFUSALS, response_model_exclude_none=True)
    @router.post("/rerank", responses=_REFUSALS, response_model_exclude_none=True)
    def rerank(request: EitherRequest) -> RerankResponse | list[ScoredText]:
        """Order documents (format of Cohere, Jina and vLLM) or texts (text-embeddings-inference) by relevance."""
        if isinstance(request, TextsRequest):
            return _rerank_texts(served, request)
        return _rerank_documents(served, request)

    @router.post("/v1/search", responses={**_REFUSALS, 404: {"model": Refusal, "description": "There is no corpus."}})
    def search(request: SearchRequest) -> SearchResponse:
        """Retrieve from the corpus and rerank."""
        if served.search is None:
            raise HTTPException(404, _NO_CORPUS)
        _check_lengths(served.settings.limits, request.query, instruction=request.instruction)
        ranked = served.search.instructed(request.instruction)(request.query, request.k)
        origins = served.search.origins(request.query) if request.origins else {}
        found = [_found(one, ranked.threshold, origins.get(one.doc_id, {})) for one in ranked]
        return SearchResponse(query=request.query, threshold=ranked.threshold, reranked=ranked.reranked, results=found)

    @router.post(
        "/v1/judgements",
        status_code=204,
        responses={
            **_REFUSALS,
            404: {"model": Refusal, "description": "No judgements are accepted, or there is no such document."},
            507: {"model": Refusal, "description": "The judgement cannot be stored."},
        },
    )
    def judge(judgement: Judgement) -> Response:
        """Store a judgement for the next training."""
        if served.judgements is None or served.search is None:
            raise HTTPException(404, _NO_JUDGING)
        _check_lengths(served.settings.limits, judgement.query)
        if judgement.doc_id not in served.search:
            raise HTTPException(404, "the corpus has no document with this id")
        try:
            served.judgements.add(judgement.query, judgement.doc_id, judgement.relevant)
        except OSError as error:  # a full or read-only disk, or a file that another process holds
            why = str(error.strerror or error).lower()
            raise HTTPException(507, f"the judgement cannot be stored: {why}") from None
        return Response(status_code=204)

    return router


def _rerank_documents(served: Served, request: RerankRequest) -> RerankResponse:
    documents = [
        Document(str(index), found) if isinstance(found, str) else Document(str(index), found.text, found.title)
        for index, found in enumerate(request.documents)
    ]
    reranker = _instructed(served, request)
    ranked = _ranked(served, request, documents, reranker)
    return RerankResponse(
        model=served.name,
        results=[
            RankedDocument(
                index=int(found.doc_id),
                relevance_score=found.score if request.raw_scores else found.probability,
                document=TextDocument(text=found.text, title=found.title) if request.return_documents else None,
            )
            for found in ranked[: request.top_n]
        ],
        usage=Usage(total_tokens=_tokens(reranker, ranked)),
    )


def _rerank_texts(served: Served, request: TextsRequest) -> list[ScoredText]:
    documents = [Document(str(index), text) for index, text in enumerate(request.texts)]
    ranked = _ranked(served, request, documents, _instructed(served, request))
    cut = next((found for found in ranked if found.truncated), None)
    if cut is not None and not request.truncate:
        raise InputError(f"text {cut.doc_id} is longer than the model reads; truncate: true truncates it")
    return [
        ScoredText(
            index=int(found.doc_id),
            score=found.score if request.raw_scores else found.probability,
            text=found.text if request.return_text else None,
        )
        for found in ranked
    ]


def _instructed(served: Served, request: RerankRequest | TextsRequest) -> SharedReranker:
    _check_lengths(served.settings.limits, request.query, instruction=request.instruction)
    return served.reranker.instructed(request.instruction)


def _ranked(
    served: Served, request: RerankRequest | TextsRequest, documents: Sequence[Document], reranker: SharedReranker
) -> RankedResults:
    limits = served.settings.limits
    if len(documents) > limits.documents:
        raise HTTPException(413, f"{len(documents):,} documents; at most {limits.documents:,} per request")
    _check_lengths(limits, request.query, documents)
    return reranker.rank(request.query, documents)


def _check_lengths(
    limits: Limits, query: str, documents: Sequence[Document] = (), instruction: str | None = None
) -> None:
    for name, text in (("query", query), ("instruction", instruction or "")):
        if len(text) > limits.query:
            raise InputError(f"the {name} has {len(text):,} characters; at most {limits.query:,}")
    for document in documents:
        length = len(document.title) + len(document.text)
        if length > limits.document:
            raise InputError(f"document {document.doc_id} has {length:,} characters; at most {limits.document:,}")


def _tokens(reranker: SharedReranker, ranked: RankedResults) -> int:
    encoded = reranker.tokenizer.encode([(ranked.query, found.passage) for found in ranked])
    return sum(len(pair.ids) for pair in encoded)


def _found(found: Result, threshold: float | None, origins: Mapping[str, int]) -> Found:
    return Found(
        rank=found.rank,
        doc_id=found.doc_id,
        title=found.title,
        text=found.text,
        passage=found.passage,
        score=found.score,
        probability=found.probability,
        relevant=threshold is None or found.probability >= threshold,
        first_stage_rank=found.first_stage_rank or 0,
        first_stage_score=found.first_stage_score or 0.0,
        origins=dict(origins),
        movement=found.movement or 0,
        metadata=json_metadata(found.metadata, f"document {found.doc_id!r}"),
    )

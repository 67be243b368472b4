"""LangChain: a cross-encoder, a document compressor and a retriever. Needs `langchain-core`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from crossforge.documents import Document
from crossforge.integrations.ordering import order
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.results import Result


class CrossforgeCrossEncoder(BaseCrossEncoder):
    """Scores pairs, for LangChain's own `CrossEncoderReranker`.

    Scores are logits: calibrated probabilities may be equal where logits are not, and LangChain sorts by the score.
    """

    def __init__(self, reranker: Reranker) -> None:
        self.reranker = reranker

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """The logit of each (query, text) pair."""
        return [float(logit) for logit in self.reranker.score_pairs(text_pairs).logits]


class CrossforgeReranker(BaseDocumentCompressor):
    """Orders documents, best first, and writes the calibrated probability as `relevance_score` into their metadata.

    The documents that it is given stay as they are.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    reranker: Reranker
    top_n: int | None = Field(default=None, ge=0)
    only_relevant: bool = False

    def compress_documents(
        self, documents: Sequence[LangChainDocument], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[LangChainDocument]:
        """The documents in their new order, cut to `top_n`, and to the relevant ones if that was asked for."""
        texts = [document.page_content for document in documents]
        ordered = order(self.reranker, query, texts, top_k=self.top_n, only_relevant=self.only_relevant)
        return [_with_metadata(documents[position], relevance_score=found.probability) for position, found in ordered]


class CrossforgeRetriever(BaseRetriever):
    """The whole path over a fixed corpus: retrieval, best passages, reranking.

    Metadata of what it returns: the document's own; where it has none of that name, `doc_id` and `title`; and
    `passage`, `relevance_score` (calibrated probability), `first_stage_rank`, and `reranked`: False if the query is too
    long to rerank.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    search: RetrieveAndRerank
    k: int = Field(default=10, ge=0)
    only_relevant: bool = False

    @classmethod
    def from_documents(
        cls, documents: Sequence[LangChainDocument], reranker: Reranker, *, k: int = 10, **options: Any
    ) -> CrossforgeRetriever:
        """Index LangChain documents, whose titles are taken from their metadata; `options` as in `RetrieveAndRerank`.

        Raises:
            InputError: two documents have the same id, or there is no word in any of them.
        """
        found = [_from_langchain(*pair) for pair in zip(documents, _ids_of(documents), strict=True)]
        return cls(search=RetrieveAndRerank.from_documents(found, reranker, **options), k=k)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[LangChainDocument]:
        ranked = self.search(query, self.k)
        kept = ranked.above_threshold() if self.only_relevant else ranked
        return [_to_langchain(found, ranked.reranked) for found in kept]


def _ids_of(documents: Sequence[LangChainDocument]) -> Iterator[str]:
    """The documents' own ids; those without one get their position, or a number beyond where that is another's id.

    An id in the metadata is not taken: it may be that of a text of which several documents are passages.
    """
    given = {document.id for document in documents}
    free = (str(number) for number in count(len(documents)) if str(number) not in given)
    for position, document in enumerate(documents):
        if document.id is not None:
            yield document.id
        else:
            yield next(free) if str(position) in given else str(position)


def _from_langchain(document: LangChainDocument, doc_id: str) -> Document:
    title = document.metadata.get("title")
    return Document(doc_id, document.page_content, title if isinstance(title, str) else "", document.metadata)


def _to_langchain(found: Result, reranked: bool) -> LangChainDocument:
    metadata = {
        "doc_id": found.doc_id,
        "title": found.title,
        **found.metadata,
        "passage": found.passage,
        "relevance_score": found.probability,
        "first_stage_rank": found.first_stage_rank,
        "reranked": reranked,
    }
    return LangChainDocument(page_content=found.text, metadata=metadata, id=found.doc_id)


def _with_metadata(document: LangChainDocument, **entries: Any) -> LangChainDocument:
    return document.model_copy(update={"metadata": {**document.metadata, **entries}})

"""Haystack: a ranker component. Needs `haystack-ai`."""

# Haystack gives no types to its decorators and helpers.
# mypy: disable-error-code="untyped-decorator, no-any-return"

import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from crossforge.documents import join_title
from crossforge.integrations.ordering import order
from crossforge.reranker import Reranker


@component
class CrossforgeRanker:
    """Orders documents, best first; the score of a document becomes its calibrated probability.

    The documents that it is given stay as they are; of several with the same id the first counts.

    Args:
        model: a package, a cross-encoder folder or a hub id.
        top_k: return only so many.
        only_relevant: leave out what the package's threshold says is not relevant.
        meta_field_to_embed: the metadata that is read as the document's title, if it has it.
        options: what `Reranker` takes besides, such as `backend` or `max_passages`.
    """

    def __init__(
        self,
        model: str,
        top_k: int | None = None,
        only_relevant: bool = False,
        meta_field_to_embed: str = "title",
        options: dict[str, Any] | None = None,
    ) -> None:
        self.model = str(model)
        self.top_k = top_k
        self.only_relevant = only_relevant
        self.meta_field_to_embed = meta_field_to_embed
        self.options = options or {}
        self._reranker: Reranker | None = None

    def warm_up(self) -> None:
        """Load the reranker; pipelines call it, and so does the first `run`."""
        if self._reranker is None:
            self._reranker = Reranker(self.model, **self.options)

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """The documents in their new order, under the key `documents`.

        Raises:
            InputError: the query is empty or too long, or a document holds no text.
        """
        self.warm_up()
        assert self._reranker is not None  # noqa: S101 -- `warm_up` has loaded it
        distinct = list({document.id: document for document in reversed(documents)}.values())[::-1]
        texts = [self._text(document) for document in distinct]
        limit = self.top_k if top_k is None else top_k
        ordered = order(self._reranker, query, texts, top_k=limit, only_relevant=self.only_relevant)
        return {"documents": [replace(distinct[position], score=found.probability) for position, found in ordered]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run` in a worker thread, so that an event loop stays free."""
        return await asyncio.to_thread(self.run, query, documents, top_k)

    def to_dict(self) -> dict[str, Any]:
        """What a pipeline file holds of it."""
        return default_to_dict(
            self, model=self.model, top_k=self.top_k, only_relevant=self.only_relevant,
            meta_field_to_embed=self.meta_field_to_embed, options=self.options,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "CrossforgeRanker":
        """What `to_dict` gave, as a component again."""
        return default_from_dict(cls, data)

    def _text(self, document: Document) -> Any:
        title = document.meta.get(self.meta_field_to_embed)
        has_title = isinstance(title, str) and isinstance(document.content, str)
        return join_title(title, document.content) if has_title else document.content

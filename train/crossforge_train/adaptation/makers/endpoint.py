"""Queries written by what answers behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.generated import Cache, GeneratedQueries
from crossforge_train.asking.chat import ChatEndpoint
from crossforge_train.config.documents import DocumentsSource, EndpointConfig


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> GeneratedQueries:
    """See `MakerFactory`."""
    if source.endpoint is None:
        raise InputError("collection.documents: quotas.endpoint needs the section endpoint")
    return endpoint_maker(source.endpoint)


def endpoint_maker(config: EndpointConfig) -> GeneratedQueries:
    """A maker that asks about documents which the cache does not know."""
    asked_with = {"url", "model", "prompt", "queries", "max_document_characters", "max_new_tokens", "temperature"}
    return GeneratedQueries(
        "endpoint", _Endpoint(config), Cache(config.cache, config.model_dump(mode="json", include=asked_with))
    )


class _Endpoint:
    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._chat = ChatEndpoint(config, "documents.endpoint")

    def __call__(self, asked: Sequence[Sequence[str]]) -> Iterator[list[list[str]]]:
        """See `Ask`; so many requests at a time as the config says."""
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            for texts in asked:
                yield list(pool.map(self._ask, texts))

    def _ask(self, text: str) -> list[str]:
        config = self._config
        prompt = config.prompt.replace("{text}", text[: config.max_document_characters])
        messages = [{"role": "user", "content": prompt}]
        return [self._chat.ask(messages, temperature=config.temperature).text for _ in range(config.queries)]

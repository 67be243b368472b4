"""Queries written by what answers behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.generated import Cache, GeneratedQueries, Keep
from crossforge_train.asking.chat import ChatEndpoint
from crossforge_train.asking.each import PATIENCE, ask_each
from crossforge_train.config.documents import DocumentsSource, EndpointConfig


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> GeneratedQueries:
    """See `MakerFactory`."""
    if source.endpoint is None:
        raise InputError("collection.documents: quotas.endpoint needs the section endpoint")
    return endpoint_maker(source.endpoint)


def endpoint_maker(config: EndpointConfig) -> GeneratedQueries:
    """A maker that asks about documents which the cache does not know."""
    asked_with = {"url", "model", "prompt", "queries", "max_document_characters", "max_new_tokens", "temperature"}
    cache = Cache(config.cache, config.model_dump(mode="json", include=asked_with))
    return GeneratedQueries("endpoint", _Endpoint(config, answers=bool(cache)), cache)


class _Endpoint:
    """Asks about documents; `answers` says whether it has answered in an earlier run."""

    def __init__(self, config: EndpointConfig, *, answers: bool) -> None:
        self._config = config
        self._answered_before = answers
        self._answered = False
        self._chat = ChatEndpoint(config, "documents.endpoint")

    def __call__(self, asked: Sequence[Sequence[str]], keep: Keep) -> None:
        """See `Ask`; so many requests at a time as the config says."""
        texts = [text for block in asked for text in block]
        found = ask_each(
            texts,
            lambda text: keep({text: self._answers(text)}),
            self._config.concurrency,
            patience=PATIENCE if self._answered_before else min(PATIENCE, len(texts)),
            answered=self._answered,
        )
        refused = [text for text, problem in found if problem]
        self._answered = self._answered or len(refused) < len(texts)
        if self._answered:  # so it is the documents that it refuses, and would again
            keep({text: [] for text in refused})

    def _answers(self, text: str) -> list[str]:
        config = self._config
        prompt = config.prompt.replace("{text}", text[: config.max_document_characters])
        messages = [{"role": "user", "content": prompt}]
        return [self._chat.ask(messages, temperature=config.temperature).text for _ in range(config.queries)]

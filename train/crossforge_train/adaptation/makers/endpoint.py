"""Queries written by what answers behind an OpenAI-compatible endpoint. Nothing of requests or answers is logged."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.generated import Cache, GeneratedQueries
from crossforge_train.config.documents import DocumentsSource, EndpointConfig

_TRY_AGAIN = (408, 409, 425, 429)  # and every 5xx
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds
_SHOWN = 200  # characters of what the endpoint complains of


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
        self._url = config.url.rstrip("/") + "/chat/completions"

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """For each text the configured number of answers; so many requests at a time as the config says."""
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            return list(pool.map(self._ask, texts))

    def _ask(self, text: str) -> list[str]:
        config = self._config
        prompt = config.prompt.replace("{text}", text[: config.max_document_characters])
        return [self._answer(prompt) for _ in range(config.queries)]

    def _answer(self, prompt: str) -> str:
        answer = self._tried({
            "model": self._config.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self._config.max_new_tokens,
            "temperature": self._config.temperature,
        })  # fmt: skip
        try:
            return str(answer["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise InputError(f"{self._url}: the answer holds no choices[0].message.content") from None

    def _tried(self, body: dict[str, Any]) -> Any:
        """The answer; what may pass by itself is tried again, each time after a longer wait."""
        wait, problem = _FIRST_WAIT, ""
        for attempt in range(self._config.retries + 1):
            if attempt:
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            try:
                return self._post(body)
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}: {_complaint(error)}"
                if error.code < 500 and error.code not in _TRY_AGAIN:
                    break
                wait = max(wait, _asked_wait(error))
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
            except ValueError:
                problem = "the answer is no JSON"
        raise InputError(f"documents.endpoint: {self._url}: {problem}; answers to earlier documents are kept")

    def _post(self, body: dict[str, Any]) -> Any:
        key = os.environ.get(self._config.key_variable)
        # The config admits http and https alone.
        request = urllib.request.Request(  # noqa: S310
            self._url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")  # it is for this host and no other
        with urllib.request.urlopen(request, timeout=self._config.timeout) as answer:  # noqa: S310
            return json.load(answer)


def _complaint(error: urllib.error.HTTPError) -> str:
    return " ".join(error.read(4 * _SHOWN).decode("utf-8", "replace").split())[:_SHOWN] or str(error.reason)


def _asked_wait(error: urllib.error.HTTPError) -> float:
    """Seconds that the endpoint asks to wait for; 0 if it asks for none."""
    try:
        return min(float(error.headers.get("Retry-After") or 0), _LONGEST_WAIT)
    except ValueError:  # a date
        return 0.0

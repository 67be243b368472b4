"""Asks a rerank API, whose shape Cohere, Jina, vLLM and Text Embeddings Inference share but for small differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crossforge_train.asking.endpoint import Endpoint, PassingError
from crossforge_train.config.rerank_api import RerankApiConfig


class RerankApi:
    """Scores documents for a query. May be called from several threads.

    Args, and what is raised: as for `Endpoint`, whose address the config holds, and for its `ask`.
    """

    def __init__(self, config: RerankApiConfig, key: str, before: Callable[[], None]) -> None:
        self._config = config
        self._before = before
        self._endpoint = Endpoint(config, config.url, key)

    def scores(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        """The score of each text, as the API gives it, and how many requests it took.

        Raises:
            RefusedError: this request is refused.
            InputError: the API cannot be asked, or its answer has another shape.
        """
        sent = [text[: self._config.max_document_characters] for text in texts]
        body = self._body(query, sent)
        return self._endpoint.ask(body, [query, *sent], lambda answer: _scores(answer, len(texts)), self._before)

    def _body(self, query: str, texts: list[str]) -> dict[str, Any]:
        config = self._config
        if config.dialect == "tei":
            model = {"model": config.model} if config.model else {}
            return {**model, "query": query, "texts": texts, "raw_scores": config.raw, "truncate": True}
        # Some return only the best few unless they are told how many.
        return {"model": config.model, "query": query, "documents": texts, "top_n": len(texts)}


def _scores(answer: Any, count: int) -> list[float]:
    """The scores in the order of the documents, which is not that of the results."""
    results = answer.get("results") if isinstance(answer, Mapping) else answer
    if not isinstance(results, list):
        raise ValueError("the answer holds no list of results; is the dialect another one?")
    found = dict(map(_result, results))
    if len(results) != count or found.keys() != set(range(count)):
        raise PassingError("the answer's results are not those of the documents that were sent")
    return [found[index] for index in range(count)]


def _result(result: Any) -> tuple[int, float]:
    """The place of a document, and its score."""
    try:
        index, score = result["index"], result["relevance_score" if "relevance_score" in result else "score"]
    except (KeyError, TypeError):
        raise ValueError("a result of the answer holds no index or no relevance_score") from None
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise PassingError("a score of the answer is no finite number")
    if isinstance(index, bool) or not isinstance(index, int):
        raise PassingError("an index of the answer is no whole number")
    return index, float(score)

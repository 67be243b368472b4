"""The kind `opensearch`. Needs `opensearch-py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crossforge.retrievers.search_engine import Credentials, Engine, EngineOptions, SearchEngineKind


class OpenSearchClient:
    """See `Client`.

    Args:
        options: address and timeout.
        credentials: user and password.
    """

    def __init__(self, options: EngineOptions, credentials: Credentials) -> None:
        from opensearchpy import OpenSearch, OpenSearchException

        self.errors: tuple[type[Exception], ...] = (OpenSearchException,)
        self._client = OpenSearch(
            options.url,
            http_auth=(credentials.user, credentials.password) if credentials.user else None,
            timeout=options.timeout,
            max_retries=0,  # ours wait in between
            ca_certs=options.ca_certs or None,
        )

    def count(self, index: str) -> int:
        """See `Client`."""
        return int(self._client.count(index=index)["count"])

    def create(self, index: str, mappings: Mapping[str, Any]) -> None:
        """See `Client`."""
        self._client.indices.create(index=index, body={"mappings": mappings})

    def delete(self, index: str) -> None:
        """See `Client`."""
        self._client.indices.delete(index=index)

    def put(self, index: str, actions: Sequence[Mapping[str, Any]]) -> None:
        """See `Client`."""
        from opensearchpy.helpers import streaming_bulk

        for _ in streaming_bulk(self._client, actions, index=index):
            pass

    def refresh(self, index: str) -> None:
        """See `Client`."""
        self._client.indices.refresh(index=index)

    def search_many(self, lines: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """See `Client`."""
        responses: Sequence[Mapping[str, Any]] = self._client.msearch(body=list(lines))["responses"]
        return responses


OpenSearchKind = SearchEngineKind(Engine("opensearch", "OpenSearch", "OPENSEARCH", OpenSearchClient))

"""The kind `elasticsearch`. Needs `elasticsearch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crossforge.retrievers.search_engine import Credentials, Engine, EngineOptions, SearchEngineKind


class ElasticsearchClient:
    """See `Client`.

    Args:
        options: address and timeout.
        credentials: an API key, or user and password.
    """

    def __init__(self, options: EngineOptions, credentials: Credentials) -> None:
        from elasticsearch import ApiError, Elasticsearch, TransportError
        from elasticsearch.helpers import BulkIndexError

        self.errors: tuple[type[Exception], ...] = (ApiError, TransportError, BulkIndexError)
        with_password = credentials.user and not credentials.api_key
        self._client = Elasticsearch(
            options.url,
            api_key=credentials.api_key or None,
            basic_auth=(credentials.user, credentials.password) if with_password else None,
            request_timeout=options.timeout,
            max_retries=0,  # ours wait in between
            **({"ca_certs": options.ca_certs} if options.ca_certs else {}),
        )

    def count(self, index: str) -> int:
        """See `Client`."""
        return int(self._client.count(index=index)["count"])

    def create(self, index: str, mappings: Mapping[str, Any]) -> None:
        """See `Client`."""
        self._client.indices.create(index=index, mappings=mappings)

    def delete(self, index: str) -> None:
        """See `Client`."""
        self._client.indices.delete(index=index)

    def put(self, index: str, actions: Sequence[Mapping[str, Any]]) -> None:
        """See `Client`."""
        from elasticsearch.helpers import streaming_bulk

        for _ in streaming_bulk(self._client, (dict(one) for one in actions), index=index):
            pass

    def refresh(self, index: str) -> None:
        """See `Client`."""
        self._client.indices.refresh(index=index)

    def search_many(self, lines: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """See `Client`."""
        responses: Sequence[Mapping[str, Any]] = self._client.msearch(searches=list(lines))["responses"]
        return responses


ElasticsearchKind = SearchEngineKind(Engine("elasticsearch", "Elasticsearch", "ELASTICSEARCH", ElasticsearchClient))

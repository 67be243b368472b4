"""What the kinds `opensearch` and `elasticsearch` share: everything but the client."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import written_atomically
from crossforge.retrievers.options import read_options, refuse_option
from crossforge.retrievers.outside import Known, as_asked, first_of_each, read_outside, retried, some
from crossforge.retrievers.trust import require_trust, trust
from crossforge.runs import Candidate

_PLACE = "{query}"
_DEFAULT_QUERY = {"query": {"multi_match": {"query": _PLACE, "fields": ["title", "text"]}}}
_MAPPINGS = {"properties": {"title": {"type": "text"}, "text": {"type": "text"}}}
# Too many requests, and what gateways say while an engine starts or is overloaded.
_PASSING = (429, 502, 503, 504)
_PUT = 500  # documents in a request that fills an index
_CHECKED = 10  # documents of an index whose ids are looked at before it is searched
_UNAVAILABLE = 503
_LONGEST = 200  # characters that are quoted of what an engine says


@dataclass(frozen=True)
class EngineOptions:
    """What a config says of it.

    Attributes:
        url: where the engine is, without credentials.
        index: name of the index.
        id_field: field of the source that holds the id of a document; `_id` is that of the hit itself.
        query: body of a search, in which the text of a query stands for `{query}`; by default a `multi_match` over
            title and text.
        create_index: make the index from the corpus if it is not there.
        timeout: seconds that an answer may take.
        retries: how often a request is repeated that may succeed later; the wait doubles each time.
        batch: queries in a request.
        ca_certs: file of the certificate authorities that sign for the engine.
        name: what reports call the engine.
        analyzer: how words are read for the choice of passages: "auto", "word" or "char".
        language: Snowball language of `analyzer: word`.
    """

    url: str
    index: str
    id_field: str = "_id"
    query: dict[str, Any] | None = None
    create_index: bool = False
    timeout: float = 30.0
    retries: int = 4
    batch: int = 50
    ca_certs: str = ""
    name: str = ""
    analyzer: str = "auto"
    language: str = "english"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username is not None or parts.password is not None:
            raise refuse_option("url", "credentials do not belong into a config; they are read from the environment")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise refuse_option("url", f"expected an address such as https://localhost:9200 (found {self.url!r})")
        if self.query is not None and _PLACE not in json.dumps(self.query):
            raise refuse_option("query", f"nowhere in it stands {_PLACE}, which is replaced by the text of a query")
        if self.create_index and self.id_field != "_id":
            raise refuse_option("create_index", "an index that is made from the corpus has its ids as _id")
        for key, least in (("timeout", 0.001), ("retries", 0), ("batch", 1)):
            if getattr(self, key) < least:
                raise refuse_option(key, f"expected {least} or more (found {getattr(self, key)})")


@dataclass(frozen=True)
class Credentials:
    """What stands in the environment; it is never written anywhere.

    Attributes:
        user: name, or empty.
        password: its password.
        api_key: used in place of both where an engine has such keys.
    """

    user: str = ""
    password: str = ""
    api_key: str = ""

    @classmethod
    def of(cls, prefix: str) -> Credentials:
        """From `PREFIX_USER`, `PREFIX_PASSWORD` and `PREFIX_API_KEY`."""
        return cls(*(os.environ.get(f"{prefix}_{name}", "") for name in ("USER", "PASSWORD", "API_KEY")))

    def __repr__(self) -> str:
        """Without secrets, for logs and tracebacks."""
        return "Credentials(…)"


class Client(Protocol):
    """The calls in which the official clients differ."""

    errors: tuple[type[Exception], ...]

    def count(self, index: str) -> int:
        """How many documents an index has."""
        ...

    def create(self, index: str, mappings: Mapping[str, Any]) -> None:
        """Make an index."""
        ...

    def delete(self, index: str) -> None:
        """Remove it."""
        ...

    def put(self, index: str, actions: Sequence[Mapping[str, Any]]) -> None:
        """Put documents into an index, once; those that are there are replaced."""
        ...

    def refresh(self, index: str) -> None:
        """Make all that was put into an index searchable."""
        ...

    def search_many(self, lines: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The responses to alternating headers and bodies of `_msearch`."""
        ...


@dataclass(frozen=True)
class Engine:
    """One of the two engines.

    Attributes:
        kind: its registered name.
        name: what reports call it.
        prefix: what the names of its environment variables begin with.
        connect: opens the client.
    """

    kind: str
    name: str
    prefix: str
    connect: Callable[[EngineOptions, Credentials], Client]

    @property
    def state_format(self) -> str:
        """What a stored index is marked with."""
        return f"crossforge-{self.kind}-1"

    def options(self, settings: Mapping[str, Any]) -> EngineOptions:
        """The options, checked.

        Raises:
            InputError: one is wrong, or a secret.
        """
        return read_options(settings, EngineOptions, f"set {self.prefix}_USER and {self.prefix}_PASSWORD")


class SearchEngineKind:
    """See `RetrieverKind` and `OutsideKind`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def fit(self, documents: Collection[Document], settings: Mapping[str, Any]) -> SearchEngineRetriever:
        """Find or make the index; `settings` as in `EngineOptions`. Whoever names the address here trusts it.

        Raises:
            InputError: the engine does not answer, or has no such index, or one of other documents.
        """
        options = self._engine.options(settings)
        known = Known.of(documents, options.analyzer, options.language)
        retriever = SearchEngineRetriever(self._engine, options, known)
        retriever.prepare(documents)
        trust(options.url)
        return retriever

    def load(self, folder: Path) -> SearchEngineRetriever:
        """Read what `SearchEngineRetriever.save` wrote, if its address is trusted; nothing is asked yet.

        Raises:
            PackageError: the folder holds no such index, or nobody here trusts its address.
        """
        known, state = read_outside(folder, self._engine.state_format, ["options"])
        try:
            options = self._engine.options(state["options"])
        except (InputError, TypeError, AttributeError) as error:
            raise PackageError(f"{folder}: {error}") from None
        require_trust(folder, options.url)
        return SearchEngineRetriever(self._engine, options, known)

    def depends_on(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing that can be known without asking; the settings are checked."""
        self._engine.options(settings)
        return {}

    def reaches(self, settings: Mapping[str, Any]) -> Sequence[str]:
        """The address."""
        return [self._engine.options(settings).url]


class SearchEngineRetriever:
    """Asks an index of the engine, many queries in a request.

    Args:
        engine: which one it is.
        options: what the config says.
        known: the corpus.
        sleep: waits between retries.
    """

    def __init__(
        self, engine: Engine, options: EngineOptions, known: Known, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.kind = engine.kind
        self.name = options.name or engine.name
        self._engine = engine
        self._options = options
        self._known = known
        self._sleep = sleep

    @property
    def description(self) -> str:
        """See `StoredRetriever`."""
        return f"{self._engine.name}, index {self._options.index}"

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """What the index finds.

        Raises:
            InputError: the engine does not answer or refuses the query, or finds what is not in the corpus.
        """
        found: dict[str, list[Candidate]] = {}
        for block in blocks(queries.items(), self._options.batch):
            bodies = [self._body(text, k) for _, text in block]
            for (query_id, _), hits in zip(block, self._hits(bodies), strict=True):
                where = f"{self._where}, query {query_id!r}"
                pairs = first_of_each(self._pair(where, hit) for hit in hits)
                found[query_id] = as_asked(self._known.candidates(where, pairs), k, ties_by_id)
        return found

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """By common words; see `Overlap`."""
        return self._known.similarities(query, texts)

    def save(self, folder: Path) -> None:
        """Write address and settings, with what is kept of the corpus; no credentials."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            self._known.save(beside, {"format": self._engine.state_format, "options": asdict(self._options)})

    def prepare(self, documents: Collection[Document]) -> None:
        """Make the index if that was asked for, and look at whether it holds these documents.

        Raises:
            InputError: it does not.
        """
        options = self._options
        if options.create_index:
            self._create(documents)
        (hits,) = self._hits([{"query": {"match_all": {}}, "size": _CHECKED, "_source": self._source}])
        ids = [self._pair(self._where, hit)[0] for hit in hits]
        if not ids:
            raise InputError(f"{self._where}: the index is empty")
        if foreign := [doc_id for doc_id in ids if doc_id not in self._known.doc_ids]:
            raise InputError(
                f"{self._where}: the index holds documents that are not in the corpus ({some(foreign)}); "
                "is first_stage.options.id_field the field of the ids?"
            )

    def _create(self, documents: Collection[Document]) -> None:
        index, client = self._options.index, self._client
        if (there := self._count()) is not None:
            if there != len(documents):
                raise InputError(
                    f"{self._where}: create_index, but the index is there with {there:,} documents and the corpus has "
                    f"{len(documents):,}; name another index, or delete that one"
                )
            return
        self._asked(lambda: client.create(index, _MAPPINGS), retries=0)
        try:
            for some_actions in blocks(_actions(documents), _PUT):
                self._asked(partial(client.put, index, some_actions))
            self._asked(lambda: client.refresh(index))
        except InputError as error:  # half an index would be taken for a whole one
            raise InputError(f"{error}; {self._without_half()}") from None
        except BaseException:
            self._without_half()
            raise

    def _without_half(self) -> str:
        """Remove an index that was not filled; says whether it is gone."""
        try:
            self._asked(lambda: self._client.delete(self._options.index), retries=0)
        except InputError:
            return "an incomplete index is left there: delete it, or name another"
        return "the index was removed again"

    def _count(self) -> int | None:
        def count() -> int | None:
            try:
                return self._client.count(self._options.index)
            except self._client.errors as error:
                if _status(error) == 404:
                    return None
                raise

        found: int | None = self._asked(count)
        return found

    def _hits(self, bodies: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
        lines = [line for body in bodies for line in ({"index": self._options.index}, body)]

        def ask() -> list[Sequence[Mapping[str, Any]]]:
            responses = self._client.search_many(lines)
            for body, response in zip(bodies, responses, strict=True):
                if fault := _fault(response, hurried="timeout" in body):
                    raise _RefusedError(fault)
            return [response["hits"]["hits"] for response in responses]

        hits: list[Sequence[Mapping[str, Any]]] = self._asked(ask)
        return hits

    def _asked(self, call: Callable[[], Any], retries: int | None = None) -> Any:
        """What the engine answers, after retries.

        Raises:
            InputError: it does not.
        """
        known: tuple[type[Exception], ...] = (*self._client.errors, _RefusedError)
        try:
            return retried(call, self._passes, self._options.retries if retries is None else retries, self._sleep)
        except known as error:
            raise InputError(f"{self._where}: {self._explained(error)}") from None

    def _passes(self, error: Exception) -> bool:
        if not isinstance(error, (*self._client.errors, _RefusedError)):
            return False
        status = _status(error)
        return status is None or status in _PASSING

    def _explained(self, error: Exception) -> str:
        said = " ".join(str(error).split())[:_LONGEST]
        match _status(error):
            case None:
                return f"does not answer ({type(error).__name__}: {said})"
            case 401 | 403:
                prefix = self._engine.prefix
                return f"refuses access; are {prefix}_USER and {prefix}_PASSWORD set and right?"
            case 404:
                return "there is no such index; first_stage.options.create_index: true makes one"
            case status:
                return f"answers with error {status} ({_told_of_documents(error) or said})"

    def _body(self, text: str, k: int) -> Mapping[str, Any]:
        return {**_filled(self._options.query or _DEFAULT_QUERY, text), "size": k, "_source": self._source}

    def _pair(self, where: str, hit: Mapping[str, Any]) -> tuple[str, float]:
        field = self._options.id_field
        doc_id = hit["_id"] if field == "_id" else hit.get("_source", {}).get(field)
        if doc_id is None:
            raise InputError(f"{where}: the hit {hit['_id']!r} has no field {field!r}")
        if hit.get("_score") is None:
            raise InputError(f"{where}: hits have no score; leave `sort` out of first_stage.options.query")
        return str(doc_id), float(hit["_score"])

    @property
    def _source(self) -> bool | list[str]:
        return False if self._options.id_field == "_id" else [self._options.id_field]

    @property
    def _where(self) -> str:
        return f"{self._engine.name} at {self._options.url}, index {self._options.index!r}"

    @cached_property
    def _client(self) -> Client:
        try:
            return self._engine.connect(self._options, Credentials.of(self._engine.prefix))
        except ImportError as error:
            raise InputError(
                f'first_stage.kind {self.kind} needs its client: pip install "crossforge[{self.kind}]" ({error})'
            ) from None


class _RefusedError(Exception):
    """An error in the answer to one of many searches."""

    def __init__(self, response: Mapping[str, Any]) -> None:
        error = response["error"]
        causes = error.get("root_cause") or [error] if isinstance(error, Mapping) else [{"reason": str(error)}]
        super().__init__(f"{causes[0].get('type', 'error')}: {causes[0].get('reason', '')}")
        self.status_code = response.get("status")


def _fault(response: Mapping[str, Any], *, hurried: bool) -> Mapping[str, Any] | None:
    """What is wrong with the answer to one search: an error, or that some shards did not answer; None if it is whole.

    Engines answer with what the other shards found, and the status of a success. A shard may be back soon. A search
    that says itself how long it may take is hurried, and gets what was found until then.
    """
    if "error" in response:
        return response
    shards = response.get("_shards", {})
    if response.get("timed_out") and not hurried:
        reason = "timed out"
    elif failed := shards.get("failed"):
        reason = f"{failed} of {shards.get('total')} shards did not answer"
    else:
        return None
    return {"error": {"type": "partial answer", "reason": reason}, "status": _UNAVAILABLE}


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None) or _of_documents(error).get("status")
    return status if isinstance(status, int) else None


def _of_documents(error: Exception) -> Mapping[str, Any]:
    """What a client's `BulkIndexError` says of the first document that an index did not take; empty for others."""
    refused = getattr(error, "errors", None)
    actions = refused[0] if isinstance(refused, Sequence) and refused and isinstance(refused[0], Mapping) else {}
    return next(iter(actions.values()), {})


def _told_of_documents(error: Exception) -> str:
    found = _of_documents(error)
    cause = found.get("error", {})
    reason = f"{cause.get('type')}: {cause.get('reason')}" if isinstance(cause, Mapping) else str(cause)
    return f"document {found.get('_id')!r}: {reason}"[:_LONGEST] if found else ""


def _filled(template: Any, text: str) -> Any:
    if isinstance(template, str):
        return template.replace(_PLACE, text)
    if isinstance(template, Mapping):
        return {key: _filled(value, text) for key, value in template.items()}
    return [_filled(value, text) for value in template] if isinstance(template, list) else template


def _actions(documents: Iterable[Document]) -> Iterator[Mapping[str, Any]]:
    return ({"_id": found.doc_id, "title": found.title, "text": found.text} for found in documents)

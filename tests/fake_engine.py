"""A stand-in for OpenSearch and Elasticsearch: an HTTP server that answers in their shapes, for their own clients.

It ranks by the number of query words in title and text, and understands `multi_match`, `match` and `match_all`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MISSING = {"type": "index_not_found_exception", "reason": "no such index [docs]"}


class FakeEngine:
    """What it holds and how it misbehaves; tests change it while it runs.

    Attributes:
        indexes: name -> id -> source.
        requests: method, path and body of all that was asked.
        failures: statuses of the next answers to `_msearch`; 200 stands for one whose searches are all rejected.
        partial: what the next answers to searches say of shards that did not answer.
        bulk_failures: statuses of the next answers to `_bulk`; 200 stands for one where every document is rejected.
        gone: whether it takes no documents and removes no index.
        password: what basic authentication must give, or None.
        refuses: an id that `_bulk` does not take.
    """

    def __init__(self) -> None:
        self.indexes: dict[str, dict[str, dict[str, str]]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.failures: list[int] = []
        self.partial: list[dict[str, Any]] = []
        self.bulk_failures: list[int] = []
        self.gone = False
        self.password: str | None = None
        self.refuses = ""
        self.url = ""

    def answer(self, method: str, path: str, body: str, authorization: str) -> tuple[int, Any]:
        self.requests.append((method, path, body))
        if self.password is not None:
            _, _, given = authorization.partition(" ")
            if base64.b64decode(given).decode() != f"me:{self.password}":
                return 401, {"error": {"type": "security_exception", "reason": "no"}, "status": 401}
        parts = path.split("?")[0].strip("/").split("/")
        if self.gone and (parts[-1] == "_bulk" or method == "DELETE"):
            return 503, {"error": {"type": "unavailable", "reason": "going down"}, "status": 503}
        match [method, *parts]:
            case [_, "_msearch"]:
                return self._search(body)
            case [_, *_, "_bulk"]:
                return self._bulk(parts[0], body)
            case [_, index, "_count" | "_refresh"] if index not in self.indexes:
                return 404, {"error": {**MISSING, "root_cause": [MISSING]}, "status": 404}
            case [_, index, "_count"]:
                return 200, {"count": len(self.indexes[index]), "_shards": {"total": 1, "successful": 1, "failed": 0}}
            case [_, _, "_refresh"]:
                return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}
            case ["PUT", index]:
                self.indexes[index] = {}
                return 200, {"acknowledged": True, "shards_acknowledged": True, "index": index}
            case ["DELETE", index]:
                del self.indexes[index]
                return 200, {"acknowledged": True}
        return 400, {"error": {"type": "illegal_argument_exception", "reason": path}, "status": 400}

    def _search(self, body: str) -> tuple[int, Any]:
        status = self.failures.pop(0) if self.failures else None
        if status is not None and status != 200:
            return status, {"error": {"type": "unavailable", "reason": "overloaded"}, "status": status}
        if status == 200:
            error = {"type": "rejected_execution_exception", "reason": "queue full"}
            return 200, {"took": 1, "responses": [{"error": {**error, "root_cause": [error]}, "status": 429}]}
        lines = [json.loads(line) for line in body.splitlines()]
        return 200, {"took": 1, "responses": [self._one(*pair) for pair in zip(lines[::2], lines[1::2], strict=True)]}

    def _one(self, header: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        (index,) = [header["index"]] if isinstance(header["index"], str) else header["index"]
        if index not in self.indexes:
            return {"error": {**MISSING, "root_cause": [MISSING]}, "status": 404}
        ((kind, query),) = body["query"].items()
        if kind not in ("match_all", "match", "multi_match"):
            error = {"type": "parsing_exception", "reason": f"unknown query [{kind}]"}
            return {"error": {**error, "root_cause": [error]}, "status": 400}
        wanted = None if kind == "match_all" else set(str(query.get("query", query.get("text"))).split())
        hits = [self._hit(index, one, wanted, body["_source"]) for one in self.indexes[index]]
        hits = sorted((hit for hit in hits if hit["_score"]), key=lambda hit: -hit["_score"])[: body["size"]]
        if "sort" in body:
            hits = [{**hit, "_score": None} for hit in hits]
        total = {"value": len(hits), "relation": "eq"}
        answer = {"took": 1, "timed_out": False, "_shards": {"total": 2, "successful": 2, "skipped": 0, "failed": 0}}
        if self.partial:  # the hits of the other shards
            answer, hits = {**answer, **self.partial.pop(0)}, hits[:1]
        return {**answer, "hits": {"total": total, "max_score": 1.0, "hits": hits}, "status": 200}

    def _hit(self, index: str, one: str, wanted: set[str] | None, fields: Any) -> dict[str, Any]:
        source = self.indexes[index][one]
        words = f"{source.get('title', '')} {source['text']}".split()
        score = 1.0 if wanted is None else float(sum(word in wanted for word in words))
        kept = {"_source": {key: source[key] for key in fields if key in source}} if fields else {}
        return {"_index": index, "_id": one, "_score": score, **kept}

    def _bulk(self, index: str, body: str) -> tuple[int, Any]:
        status = self.bulk_failures.pop(0) if self.bulk_failures else None
        if status is not None and status != 200:
            return status, {"error": {"type": "unavailable", "reason": "overloaded"}, "status": status}
        lines = [json.loads(line) for line in body.splitlines()]
        if status == 200:
            error = {"type": "rejected_execution_exception", "reason": "queue full"}
            ids = [action["index"]["_id"] for action in lines[::2]]
            items = [{"index": {"_index": index, "_id": one, "status": 429, "error": error}} for one in ids]
            return 200, {"took": 1, "errors": True, "items": items}
        items, errors = [], False
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            where = action["index"].get("_index", index)
            one = action["index"]["_id"]
            if one == self.refuses:
                errors = True
                error = {"type": "mapper_parsing_exception", "reason": "failed to parse"}
                items.append({"index": {"_index": where, "_id": one, "status": 400, "error": error}})
            else:
                self.indexes[where][one] = source
                items.append({"index": {"_index": where, "_id": one, "status": 201, "result": "created"}})
        return 200, {"took": 1, "errors": errors, "items": items}


@contextmanager
def running_engine() -> Iterator[FakeEngine]:
    """Serves on a free port of this machine until the end of the block."""
    engine = FakeEngine()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            status, value = engine.answer(self.command, self.path, body, self.headers.get("Authorization") or "")
            payload = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("X-Elastic-Product", "Elasticsearch")  # its client insists
            asked_for = self.headers.get("Accept") or "application/json"
            self.send_header("Content-Type", asked_for.split(",")[0])
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    engine.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()

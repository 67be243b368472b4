"""Small servers that speak OpenAI's chat completions, or as rerank APIs do, and fail as they are told to."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar


class Failure(NamedTuple):
    """An answer that is not the usual one."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    seconds: float = 0.0


class Endpoint(ThreadingHTTPServer):
    """Answers with what `answer` makes of a request's body; `failures` are given first, one a request."""

    daemon_threads = True

    def __init__(self, answer: Callable[..., Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[tuple[str, str | None, Any]] = []
        self.failures: list[Failure] = []
        self.at_once = self.most_at_once = 0
        self.slow = 0.0
        self.usage: dict[str, int] | None = None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def reply(self, body: Any) -> Failure:
        """The usual answer to a request."""
        said = {"choices": [{"message": {"content": self.answer(body)}}]}
        return as_json({**said, "usage": self.usage} if self.usage else said)

    def handle_error(self, *_: object) -> None:
        """A client that stopped waiting is no error."""


Server = TypeVar("Server", bound=Endpoint)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.requests.append((self.path, self.headers.get("Authorization"), body))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            failure = server.failures.pop(0) if server.failures else None
        time.sleep(failure.seconds if failure else server.slow)
        with server.lock:
            server.at_once -= 1
        status, answer, headers, _ = failure or server.reply(body)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


class RerankServer(Endpoint):
    """Answers with the score that `answer` gives a query and a text, the best first; `largest` is what it takes."""

    largest = 100

    def reply(self, body: Any) -> Failure:
        """As Text Embeddings Inference if it is asked that way, else as the others."""
        texts = body["texts"] if "texts" in body else body["documents"]
        if len(texts) > self.largest:
            return Failure(413, b"batch size is too large")
        scores = sorted(((self.answer(body["query"], text), n) for n, text in enumerate(texts)), reverse=True)
        if "texts" in body:
            return as_json([{"index": n, "score": score} for score, n in scores])
        return as_json({"id": "x", "results": [{"index": n, "relevance_score": score} for score, n in scores]})


def as_json(value: Any) -> Failure:
    """An answer that holds a value."""
    return Failure(200, json.dumps(value).encode())


def said(text: str) -> Failure:
    """An answer of other words than the usual one."""
    return as_json({"choices": [{"message": {"content": text}}]})


@contextmanager
def serving(answer: Callable[..., Any], kind: type[Server] = Endpoint) -> Iterator[Server]:  # type: ignore[assignment]
    """An endpoint that runs as long as the block."""
    found = kind(answer)
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield found
    finally:
        found.shutdown()
        found.server_close()

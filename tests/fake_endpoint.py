"""A small server that speaks OpenAI's chat completions, and fails as it is told to."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple


class Failure(NamedTuple):
    """An answer that is not the usual one."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    seconds: float = 0.0


class Endpoint(ThreadingHTTPServer):
    """Answers with what `answer` makes of a request's body; `failures` are given first, one a request."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Any], str]) -> None:
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

    def handle_error(self, *_: object) -> None:
        """A client that stopped waiting is no error."""


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
        status, answer, headers, _ = failure or Failure(200, self._completion(body))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def _completion(self, body: Any) -> bytes:
        said = {"choices": [{"message": {"content": self.server.answer(body)}}]}
        return json.dumps({**said, "usage": self.server.usage} if self.server.usage else said).encode()

    def log_message(self, *_: object) -> None:
        pass


def said(text: str) -> Failure:
    """An answer of other words than the usual one."""
    return Failure(200, json.dumps({"choices": [{"message": {"content": text}}]}).encode())


@contextmanager
def serving(answer: Callable[[Any], str]) -> Iterator[Endpoint]:
    """An endpoint that runs as long as the block."""
    found = Endpoint(answer)
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield found
    finally:
        found.shutdown()
        found.server_close()

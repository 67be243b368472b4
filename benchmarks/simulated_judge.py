"""A judge that knows the truth and is wrong by a seeded draw, and the endpoint behind which it answers."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from crossforge_train.config.judge import PROMPT
from crossforge_train.labels.grading import GRADES, Pair

RELEVANT = GRADES[-1]  # what it gives to a relevant document; any other gets 0


@dataclass(frozen=True)
class SimulatedJudge:
    """Grades a pair by the truth, or wrongly.

    With the probability `noise`, which is drawn for each pair, the grade is one of the other three, each as likely as
    the others. The draw follows from the pair alone: whoever asks twice is told the same.

    Attributes:
        relevant: text of a query -> texts of its relevant documents, as the judge reads them.
        noise: share of the pairs whose grade is wrong.
        seed: seed of the draws.
    """

    relevant: Mapping[str, Set[str]]
    noise: float
    seed: int

    def truth(self, pair: Pair) -> bool:
        """Whether the document is relevant."""
        return pair.text in self.relevant.get(pair.query, ())

    def grade(self, pair: Pair) -> int:
        """What it says of the pair."""
        right = RELEVANT if self.truth(pair) else 0
        draw = random.Random(f"{self.seed}:{pair.query}:{pair.text}")
        return draw.choice([grade for grade in GRADES if grade != right]) if draw.random() < self.noise else right


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, judge: SimulatedJudge, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.judge = judge


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """Answer as OpenAI's chat completions do."""
        body: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        grade = self.server.judge.grade(pair_of(body["messages"][0]["content"]))
        content = json.dumps({"grade": grade})
        answer = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def pair_of(prompted: str) -> Pair:
    """The pair that the default prompt asks about."""
    before, _, rest = PROMPT.partition("{query}")
    between, _, after = rest.partition("{text}")
    query, _, text = prompted.removeprefix(before).removesuffix(after).partition(between)
    return Pair(query, text)


@contextmanager
def answering(judge: SimulatedJudge, port: int) -> Iterator[None]:
    """The endpoint at a port of this machine, as long as the block runs."""
    server = _Server(judge, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()

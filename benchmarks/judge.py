"""How long grading takes with an endpoint that fails now and then, what it costs, and that nothing is asked twice.

A local server answers after a fixed time; a share of its answers are failures, in equal parts 429, 500 and broken JSON.
Run from the repository's root:

    python benchmarks/judge.py [--pairs 10000] [--failing 0.05] [--latency 0.05] [--concurrency 16]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.grading import Pair
from crossforge_train.labels.judge import Judge
from crossforge_train.reporting import SilentReporter

BROKEN = json.dumps({"choices": [{"message": {"content": '{"grade": '}}]}).encode()
FAILURES = ((429, b"slow down"), (500, b""), (200, BROKEN))


class Server(ThreadingHTTPServer):
    """Grades a text by its number, or fails by a seeded draw."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, failing: float, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failing, self.latency = failing, latency
        self.draw, self.lock = random.Random(0), threading.Lock()
        self.requests = 0
        self.graded: Counter[int] = Counter()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def do_POST(self) -> None:
        """Answer after a while."""
        body: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = int(body["messages"][0]["content"].split("text number ")[1].split()[0])
        server = self.server
        with server.lock:
            server.requests += 1
            fails = server.draw.random() < server.failing
            status, answer = server.draw.choice(FAILURES) if fails else (200, said(number))
            server.graded[number] += not fails
        time.sleep(server.latency)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def said(number: int) -> bytes:
    """A completion with a grade, and what it took."""
    content = json.dumps({"grade": number % 4})
    return json.dumps({"choices": [{"message": {"content": content}}], "usage": {"total_tokens": 300}}).encode()


def main() -> None:
    """Grade all pairs, then all of them again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--failing", type=float, default=0.05)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, default=16)
    wanted = parser.parse_args()
    server = Server(wanted.failing, wanted.latency)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pairs = [Pair(f"query {n // 10}", f"text number {n}") for n in range(wanted.pairs)]
    with tempfile.TemporaryDirectory() as folder:
        config = JudgeConfig(
            url=f"http://127.0.0.1:{server.server_port}/v1", model="m", cache=Path(folder),
            concurrency=wanted.concurrency, max_calls=2 * wanted.pairs,
        )  # fmt: skip
        for title in ("all new", "all known"):
            started, before = time.perf_counter(), server.requests
            judge = Judge(config, SilentReporter())
            grades = judge.grade(pairs)
            right = sum(found.grade == n % 4 for n, found in enumerate(grades))
            without = sum(found.grade is None for found in grades)
            seconds = time.perf_counter() - started
            print(
                f"{title}: {seconds:.1f} s, {server.requests - before:,} requests ({judge.spent:,} counted), "
                f"{right:,} of {len(pairs):,} grades right, {without} pairs without one (broken twice)"
            )
        kept = sum(file.stat().st_size for file in Path(folder).iterdir())
    print(f"pairs that were answered twice: {sum(count > 1 for count in server.graded.values())}; {kept:,} bytes kept")


if __name__ == "__main__":
    main()

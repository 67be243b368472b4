"""`crossforge serve` under load: `python benchmarks/serve_load.py PACKAGE CORPUS` (JSONL).

The service runs in its own process. First one caller, then `--callers` concurrent callers send reranking requests over
HTTP, each sending its next request when the last is answered. Reported are lost answers, answers whose order differs
from the single caller's, requests per second, p50 and p95 of latency, and the mean number of callers per round.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from crossforge.documents import read_documents

COMMAND = [sys.executable, "-c", "from crossforge_train.cli import main; main()", "serve"]
WORDS, QUERY_WORDS, PATIENCE = 60, 6, 300.0


def main() -> None:
    """Print one row for a single caller and one for many."""
    options = _options()
    bodies = _bodies(options)
    with _served(options) as address:
        _answers(address, bodies[:4], 1)  # warm
        print("| callers | requests | lost | other order | requests/s | p50 ms | p95 ms | callers a round |")
        print("|---|---|---|---|---|---|---|---|")
        expected: list[Any] = []
        for callers in (1, options.callers):
            before = _rounds(address)
            begin = time.perf_counter()
            answers = _answers(address, bodies, callers)
            seconds = time.perf_counter() - begin
            asked, rounds = (now - then for now, then in zip(_rounds(address), before, strict=True))
            orders = [order for order, _ in answers]
            expected = expected or orders
            others = sum(order != wanted for order, wanted in zip(orders, expected, strict=True) if order)
            p50, p95 = np.quantile([took for _, took in answers], [0.5, 0.95]) * 1000
            print(
                f"| {callers} | {len(bodies)} | {orders.count(None)} | {others} | {len(bodies) / seconds:.1f} "
                f"| {p50:.0f} | {p95:.0f} | {asked / rounds:.1f} |",
                flush=True,
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--requests", type=int, default=160)
    parser.add_argument("--documents", type=int, default=20, help="documents per request")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes of the service")
    return parser.parse_args()


def _bodies(options: argparse.Namespace) -> list[dict[str, Any]]:
    texts = [document.full_text.split() for document in read_documents(options.corpus)]
    draw = random.Random(0)

    def text(words: int) -> str:
        return " ".join(draw.choice(texts)[:words]) or "nothing"

    return [
        {"query": text(QUERY_WORDS), "texts": [text(WORDS) for _ in range(options.documents)]}
        for _ in range(options.requests)
    ]


@contextmanager
def _served(options: argparse.Namespace) -> Iterator[str]:
    arguments = [str(options.package), "--backend", options.backend, "--port", "0", "--workers", str(options.workers)]
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    said = []
    for line in process.stderr or ():
        said.append(line)
        if found := re.search(r"http://\S+", line):
            _wait_for(found[0])
            return found[0]
    raise SystemExit(f"the service did not start: {''.join(said).strip() or 'it gave no reason'}")


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{address}/health").raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.05)


def _answers(address: str, bodies: Sequence[dict[str, Any]], callers: int) -> list[tuple[list[int] | None, float]]:
    """For each request, the returned order (None if the answer was lost) and the latency in seconds."""
    with httpx.Client(base_url=address, timeout=PATIENCE, limits=httpx.Limits(max_connections=callers)) as client:

        def ask(body: dict[str, Any]) -> tuple[list[int] | None, float]:
            begin = time.perf_counter()
            try:
                answer = client.post("/rerank", json=body)
                order = [found["index"] for found in answer.json()] if answer.status_code == httpx.codes.OK else None
            except httpx.TransportError:
                order = None
            return order, time.perf_counter() - begin

        with ThreadPoolExecutor(callers) as pool:
            return list(pool.map(ask, bodies))


def _rounds(address: str) -> tuple[float, float]:
    """Number of requests computed so far, and of the rounds that computed them."""
    counted = dict(
        re.findall(r"^crossforge_round_callers_(sum|count) (\S+)$", httpx.get(f"{address}/metrics").text, re.M)
    )
    return float(counted["sum"]), float(counted["count"])


if __name__ == "__main__":
    main()

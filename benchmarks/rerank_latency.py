"""Reranking latency, ours and other clients': `python benchmarks/rerank_latency.py PACKAGE [--corpus FILE]`.

All clients score the same pairs with the same model on the same machine. Documents are made of the corpus's words, in
lengths of about 30 tokens (short), 400 (long) and 10 to 400 (mixed), 100 per query, and read whole; `--together` sends
several queries with their documents in one call. Each client runs in its own process, and the clients take turns, call
by call, so that other load on the machine affects all of them equally. Cold start is the time from starting the process
to its first score; memory is the process's peak. Clients that are not installed are skipped; FastEmbed and Infinity
need their own environments, which `make test-clients` builds. What does not run is compared with nothing: "–".
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reranking_clients import CLIENTS, ENVIRONMENTS, EXACT, STOCK, TOKENS, Pairs

from crossforge.batching import padding_share, token_budget_batches
from crossforge.documents import read_documents
from crossforge.files import read_json, write_json
from crossforge.loading import pair_tokenizer

REQUEST = 100  # documents per request
LENGTHS = {"short": (20, 30), "mixed": (8, 300), "long": (290, 300)}  # in words
SERVED = Path(__file__).with_name("reranking_clients.py")


@dataclass
class Client:
    """A running client process; `cold_start` is in seconds."""

    process: subprocess.Popen[str]
    cold_start: float

    def ask(self, pairs: Pairs) -> tuple[float, NDArray[np.float32], float]:
        """Score the pairs; return the seconds taken, the logits, and the process's peak memory in MiB."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(pairs) + "\n")
        self.process.stdin.flush()
        seconds, logits, memory = _answer(self.process)
        return seconds, np.array(logits, dtype=np.float32), memory


def main() -> None:
    """Print a table for each kind of document."""
    options = _options()
    if not (options.package / "onnx/model.onnx").is_file():
        sys.exit(f"skipped: {options.package} is not a reranker package; build one with `make train`")
    words = _words(options.corpus)
    with tempfile.TemporaryDirectory() as name:
        folder = _reading_all(options.package, Path(name) / "model")
        clients = _clients(folder, options)
        try:
            for kind in options.kinds:
                requests = _requests(words, kind, options.requests)
                _measure(kind, folder, _joined(requests, options.together), clients)
        finally:
            for client in clients.values():
                client.process.terminate()


def _reading_all(package: Path, folder: Path) -> Path:
    """Copy the model and set its limit to 512 tokens in every file from which a client may read it."""
    shutil.copytree(package, folder, ignore=shutil.ignore_patterns("reranker.json", "evaluation", "first_stage"))
    for file, key in (("tokenizer_config.json", "model_max_length"), ("sentence_bert_config.json", "max_seq_length")):
        write_json(folder / file, {**read_json(folder / file), key: TOKENS})
    tokenizer = read_json(folder / "tokenizer.json")
    write_json(folder / "tokenizer.json", {**tokenizer, "truncation": None, "padding": None})
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--corpus", type=Path, help="JSONL to take words from; default: made-up words")
    parser.add_argument("--requests", type=int, default=8, help="requests (of 100 documents) per kind")
    parser.add_argument("--together", type=int, default=1, help="requests per call")
    parser.add_argument("--kinds", nargs="+", choices=list(LENGTHS), default=list(LENGTHS), help="default: all")
    parser.add_argument("--clients", nargs="+", choices=list(CLIENTS), default=list(CLIENTS), help="default: all")
    parser.add_argument("--environments", type=Path, default=Path(".venv-clients"), help="from `make test-clients`")
    options = parser.parse_args()
    if options.together < 1 or options.requests % options.together:
        parser.error(f"--requests {options.requests} is not a multiple of --together {options.together}")
    return options


def _clients(model: Path, options: argparse.Namespace) -> dict[str, Client]:
    started = {}
    for name in options.clients:
        own = options.environments / ENVIRONMENTS[name] / "bin/python" if name in ENVIRONMENTS else None
        python = own if own and own.is_file() else Path(sys.executable)
        begin = time.perf_counter()
        process = subprocess.Popen(
            [python, SERVED, name, model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
        problem = _answer(process)
        if problem:
            print(f"skipped {name}: {problem}", file=sys.stderr)
            continue
        started[name] = Client(process, time.perf_counter() - begin)
    return started


def _answer(process: subprocess.Popen[str]) -> Any:
    """A client's next answer, or a message if it died; its traceback is then already on stderr."""
    assert process.stdout
    line = process.stdout.readline()
    return json.loads(line) if line else f"its process exited with status {process.wait()}"


def _words(corpus: Path | None) -> list[str]:
    if corpus is None:
        return [f"word{number}" for number in range(500)]
    texts = (document.full_text for document in read_documents(corpus)[:2000])
    return [word for text in texts for word in re.findall(r"\w+", text)]


def _requests(words: Sequence[str], kind: str, count: int) -> list[Pairs]:
    draw = random.Random(0)
    low, high = LENGTHS[kind]

    def text(length: int) -> str:
        place = draw.randrange(max(len(words) - length, 1))
        return " ".join(words[place : place + length] if len(words) > length else draw.choices(words, k=length))

    return [
        [(query, text(draw.randint(low, high))) for _ in range(REQUEST)]
        for query in (text(6) for _ in range(count))
    ]  # fmt: skip


def _joined(requests: Sequence[Pairs], together: int) -> list[Pairs]:
    parts = [requests[start : start + together] for start in range(0, len(requests), together)]
    return [[pair for pairs in part for pair in pairs] for part in parts]


def _measure(kind: str, folder: Path, calls: Sequence[Pairs], clients: Mapping[str, Client]) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in clients}
    logits: dict[str, list[NDArray[np.float32]]] = {name: [] for name in clients}
    memory = dict.fromkeys(clients, 0.0)
    for pairs in calls:
        for name, client in clients.items():
            took, found, memory[name] = client.ask(pairs)
            seconds[name].append(took)
            logits[name].append(found)
    share = _padding(folder, calls)
    print(f"\n{kind}: {len(calls)} calls of {len(calls[0]):,} pairs; ours pads {share:.1%}\n")
    head = ["client", "pairs/s", f"times {STOCK}", "p50 ms", "p95 ms", "max logit difference", "top 10 in common"]
    head += ["MiB", "cold start s"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, client in clients.items():
        p50, p95 = np.quantile(seconds[name], [0.5, 0.95])
        speed = len(calls[0]) / p50
        ratio = f"{np.median(np.array(seconds[STOCK]) / np.array(seconds[name])):.2f}" if STOCK in clients else "–"
        difference, common = _against_exact(logits[name], logits[EXACT]) if EXACT in clients else ("–", "–")
        print(
            f"| {name} | {speed:.1f} | {ratio} | {1000 * p50:.0f} | {1000 * p95:.0f} | {difference} | {common} "
            f"| {memory[name]:.0f} | {client.cold_start:.1f} |",
            flush=True,
        )


def _against_exact(found: Sequence[NDArray[np.float32]], exact: Sequence[NDArray[np.float32]]) -> tuple[str, str]:
    """The largest difference in a logit, and the overlap of the best."""
    difference = max(np.abs(a - b).max() for a, b in zip(found, exact, strict=True))
    common = np.mean([_common(a, b) for a, b in zip(found, exact, strict=True)])
    return f"{difference:.1e}", f"{common:.1%}"


def _common(left: NDArray[np.float32], right: NDArray[np.float32], depth: int = 10) -> float:
    """Overlap of the two top-`depth` lists, averaged over requests, from 0 to 1."""
    best = [np.argsort(-scores.reshape(-1, REQUEST), kind="stable")[:, :depth] for scores in (left, right)]
    return float(np.mean([np.isin(*of_request).mean() for of_request in zip(*best, strict=True)]))


def _padding(folder: Path, calls: Sequence[Pairs]) -> float:
    tokenizer = pair_tokenizer(folder, TOKENS)
    shares = []
    for pairs in calls:
        lengths = [len(pair.ids) for pair in tokenizer.encode(list(pairs))]
        shares.append(padding_share(lengths, token_budget_batches(lengths)))
    return float(np.mean(shares))


if __name__ == "__main__":
    main()

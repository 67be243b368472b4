"""Seconds of reranking, ours beside other clients: `python benchmarks/rerank_latency.py PACKAGE [--corpus FILE]`.

Every client scores the same pairs of the same model on the same machine: words of the corpus make documents of about 30
tokens (short), 400 (long), and of lengths from 10 to 400 (mixed), a hundred for each query, read whole. Each client
lives in a process of its own; they take turns, request after request, so that other work on the machine hits all alike.
Cold start is from the start of that process to its first score; memory is the most that it ever held. Clients that are
not installed are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import padding_share, token_budget_batches
from crossforge.documents import read_documents
from crossforge.errors import PackageError
from crossforge.files import read_json, write_json
from crossforge.loading import pair_tokenizer

REQUEST = 100  # documents of one request
TOKENS = 512
STOCK = "CrossEncoder.predict"
EXACT = "crossforge onnx"
BATCH_SIZES = (8, 16, 32, 64, 128)
LENGTHS = {"short": (20, 30), "mixed": (8, 300), "long": (290, 300)}  # in words

Pairs = Sequence[tuple[str, str]]
Score = Callable[[Pairs], NDArray[np.float32]]


def _ours(backend: str) -> Callable[[Path], Score]:
    def open_package(package: Path) -> Score:
        from crossforge import Reranker

        reranker = Reranker(package, backend=backend)  # type: ignore[arg-type]
        return lambda pairs: reranker.score_pairs(pairs).logits

    return open_package


def _cross_encoder(package: Path, batch_size: int = 32) -> Score:
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(package), local_files_only=True)
    identity = torch.nn.Identity()
    return lambda pairs: model.predict(list(pairs), activation_fn=identity, batch_size=batch_size)


def _cross_encoder_at_its_best(package: Path) -> Score:
    """The fastest of several batch sizes on mixed documents."""
    found = {size: _cross_encoder(package, size) for size in BATCH_SIZES}
    sample = _requests(["word"], "mixed", 1)[0]
    return min(found.values(), key=lambda score: _seconds(score, sample))


def _flashrank(package: Path) -> Score:
    from flashrank import Ranker, RerankRequest
    from flashrank.Config import model_file_map

    name = "ms-marco-MiniLM-L-12-v2"  # it opens names that it knows only, from a folder of that name
    folder = Path(tempfile.mkdtemp()) / name
    shutil.copytree(package, folder)
    shutil.copyfile(package / "onnx/model.onnx", folder / model_file_map[name])
    ranker = Ranker(name, str(folder.parent), max_length=TOKENS, log_level="ERROR")

    def score(pairs: Pairs) -> NDArray[np.float32]:
        passages = [{"id": place, "text": text} for place, (_, text) in enumerate(pairs)]
        found = ranker.rerank(RerankRequest(query=pairs[0][0], passages=passages))
        shares = np.array([each["score"] for each in sorted(found, key=lambda each: each["id"])], dtype=np.float64)
        return np.log(shares / (1 - shares)).astype(np.float32)  # it gives sigmoids

    return score


def _fastembed(package: Path) -> Score:
    from fastembed.common.model_description import ModelSource
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    TextCrossEncoder.add_custom_model("local/package", ModelSource(url="local"), "onnx/model.onnx")
    model = TextCrossEncoder("local/package", specific_model_path=str(package), cuda=False)
    return lambda pairs: np.array(list(model.rerank_pairs(pairs)), dtype=np.float32)


def _rerankers(package: Path) -> Score:
    from rerankers import Reranker

    model = Reranker(str(package), model_type="cross-encoder", verbose=0, dtype="float32", device="cpu")

    def score(pairs: Pairs) -> NDArray[np.float32]:
        ranked = model.rank(pairs[0][0], [text for _, text in pairs], doc_ids=list(range(len(pairs))))
        return np.array([each.score for each in sorted(ranked.results, key=lambda each: each.doc_id)], dtype=np.float32)

    return score


CLIENTS: dict[str, Callable[[Path], Score]] = {
    EXACT: _ours("onnx"),
    "crossforge openvino": _ours("openvino"),
    "crossforge openvino-bf16": _ours("openvino-bf16"),
    STOCK: _cross_encoder,
    f"{STOCK}, best batch size": _cross_encoder_at_its_best,
    "FlashRank": _flashrank,
    "FastEmbed": _fastembed,
    "AnswerDotAI rerankers": _rerankers,
}


@dataclass
class Client:
    """A client in its process."""

    process: Any
    pipe: Connection
    cold_start: float

    def ask(self, pairs: Pairs) -> tuple[float, NDArray[np.float32], float]:
        """Seconds of scoring the pairs, their logits, and the most MiB that the process ever held."""
        self.pipe.send(pairs)
        seconds, logits, memory = self.pipe.recv()
        return float(seconds), logits, float(memory)


def main() -> None:
    """Print a table for each kind of documents."""
    options = _options()
    if not (options.package / "onnx/model.onnx").is_file():
        sys.exit(f"skipped: {options.package} is no reranker package; `make train` makes one")
    words = _words(options.corpus)
    with tempfile.TemporaryDirectory() as name:
        folder = _reading_all(options.package, Path(name) / "model")
        clients = _clients(folder, options.clients)
        try:
            for kind in LENGTHS:
                _measure(kind, folder, _requests(words, kind, options.requests), clients)
        finally:
            for client in clients.values():
                client.process.terminate()


def _reading_all(package: Path, folder: Path) -> Path:
    """A copy of the model that reads 512 tokens: every client takes the limit from one of these files."""
    shutil.copytree(package, folder, ignore=shutil.ignore_patterns("reranker.json", "evaluation", "first_stage"))
    for file, key in (("tokenizer_config.json", "model_max_length"), ("sentence_bert_config.json", "max_seq_length")):
        write_json(folder / file, {**read_json(folder / file), key: TOKENS})
    tokenizer = read_json(folder / "tokenizer.json")
    write_json(folder / "tokenizer.json", {**tokenizer, "truncation": None, "padding": None})
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--corpus", type=Path, help="JSONL whose words make the documents; else invented ones")
    parser.add_argument("--requests", type=int, default=8, help="requests of 100 documents of each kind")
    parser.add_argument("--clients", nargs="+", choices=list(CLIENTS), default=list(CLIENTS), help="all if left out")
    return parser.parse_args()


def _clients(package: Path, wanted: Sequence[str]) -> dict[str, Client]:
    started = {}
    for name in wanted:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(name, package, theirs), daemon=True)
        begin = time.perf_counter()
        process.start()
        theirs.close()  # so that a process that dies is noticed
        problem = ours.recv()
        if problem:
            print(f"left out {name}: {problem}", file=sys.stderr)
            continue
        started[name] = Client(process, ours, time.perf_counter() - begin)
    return started


def _serve(name: str, package: Path, pipe: Connection) -> None:
    try:
        score = CLIENTS[name](package)
        score([("warm", "up")])
    except (ImportError, PackageError) as error:
        pipe.send(str(error).splitlines()[0])
        return
    pipe.send(None)
    while True:
        pairs = pipe.recv()
        begin = time.perf_counter()
        logits = score(pairs)
        pipe.send((time.perf_counter() - begin, logits, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


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


def _seconds(score: Score, pairs: Pairs) -> float:
    begin = time.perf_counter()
    score(pairs)
    return time.perf_counter() - begin


def _measure(kind: str, folder: Path, requests: Sequence[Pairs], clients: Mapping[str, Client]) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in clients}
    logits: dict[str, list[NDArray[np.float32]]] = {name: [] for name in clients}
    memory = dict.fromkeys(clients, 0.0)
    for pairs in requests:
        for name, client in clients.items():
            took, found, memory[name] = client.ask(pairs)
            seconds[name].append(took)
            logits[name].append(found)
    share = _padding(folder, requests)
    print(f"\n{kind}: {len(requests)} requests of {REQUEST} documents; ours pads {share:.1%}\n")
    head = ["client", "pairs/s", f"times {STOCK}", "p50 ms", "p95 ms", "max logit difference", "top 10 in common"]
    head += ["MiB", "cold start s"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, client in clients.items():
        p50, p95 = np.quantile(seconds[name], [0.5, 0.95])
        ratio = np.median(np.array(seconds[STOCK]) / np.array(seconds[name])) if STOCK in clients else float("nan")
        difference = max(np.abs(a - b).max() for a, b in zip(logits[name], logits[EXACT], strict=True))
        common = np.mean([_common(a, b) for a, b in zip(logits[name], logits[EXACT], strict=True)])
        print(
            f"| {name} | {REQUEST / p50:.1f} | {ratio:.2f} | {1000 * p50:.0f} | {1000 * p95:.0f} | {difference:.1e} "
            f"| {common:.1%} | {memory[name]:.0f} | {client.cold_start:.1f} |",
            flush=True,
        )


def _common(left: NDArray[np.float32], right: NDArray[np.float32], depth: int = 10) -> float:
    """Share of the `depth` best of one that are among the `depth` best of the other."""
    best = [set(np.argsort(-scores, kind="stable")[:depth].tolist()) for scores in (left, right)]
    return len(best[0] & best[1]) / depth


def _padding(folder: Path, requests: Sequence[Pairs]) -> float:
    tokenizer = pair_tokenizer(folder, TOKENS)
    shares = []
    for pairs in requests:
        lengths = [len(pair.ids) for pair in tokenizer.encode(list(pairs))]
        shares.append(padding_share(lengths, token_budget_batches(lengths)))
    return float(np.mean(shares))


if __name__ == "__main__":
    main()

"""The clients that `rerank_latency.py` measures, each in its own process: `reranking_clients.py CLIENT MODEL`.

The process reads and writes lines of JSON. It first answers null, or the reason why the client cannot be used. Then,
for each list of (query, document) pairs, it answers with the seconds taken, the logits, and the process's peak memory
in MiB. It may run in an environment with just one client installed, so only numpy is imported up front.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOKENS = 512
STOCK = "CrossEncoder.predict"
EXACT = "crossforge onnx"
BATCH_SIZES = (8, 16, 32, 64, 128)

Pairs = Sequence[tuple[str, str]]
Score = Callable[[Pairs], NDArray[np.float32]]


def main() -> None:
    """Open the client and answer requests until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("client", choices=list(CLIENTS))
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keep what clients print out of the answers

    def answer(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        score = CLIENTS[options.client](options.model)
        score([("warm", "up")])
    except ImportError as error:
        answer(str(error).splitlines()[0])
        return
    answer(None)
    for line in sys.stdin:
        pairs = [(query, text) for query, text in json.loads(line)]
        begin = time.perf_counter()
        logits = score(pairs)
        seconds = time.perf_counter() - begin
        answer([seconds, logits.tolist(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024])


def _ours(backend: str) -> Callable[[Path], Score]:
    def open_package(package: Path) -> Score:
        from crossforge import Reranker
        from crossforge.errors import PackageError

        try:
            reranker = Reranker(package, backend=backend)  # type: ignore[arg-type]
        except PackageError as error:
            raise ImportError(error) from error  # not installed, not packaged, or unsupported on this machine
        return lambda pairs: reranker.score_pairs(pairs).logits

    return open_package


def cross_encoder(package: Path, batch_size: int = 32, dtype: str = "float32") -> Score:
    """`CrossEncoder.predict`, on a GPU if there is one."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(package), local_files_only=True, model_kwargs={"dtype": dtype})
    identity = torch.nn.Identity()
    return lambda pairs: model.predict(list(pairs), activation_fn=identity, batch_size=batch_size)


def _cross_encoder_at_its_best(package: Path) -> Score:
    """Choose the batch size that is fastest on documents of mixed length."""
    found = {size: cross_encoder(package, size) for size in BATCH_SIZES}
    sample = [("a few words", "word " * length) for length in range(10, 310, 3)]
    return min(found.values(), key=lambda score: _seconds(score, sample))


def _seconds(score: Score, pairs: Pairs) -> float:
    begin = time.perf_counter()
    score(pairs)
    return time.perf_counter() - begin


def _query_by_query(score: Score) -> Score:
    """Adapt a client that takes only one query and its documents per call."""

    def scored(pairs: Pairs) -> NDArray[np.float32]:
        return np.concatenate([score(list(request)) for _, request in groupby(pairs, key=itemgetter(0))])

    return scored


def _flashrank(package: Path) -> Score:
    from flashrank import Ranker, RerankRequest
    from flashrank.Config import model_file_map

    name = "ms-marco-MiniLM-L-12-v2"  # it opens only models that it knows by name, from a folder of that name
    folder = Path(tempfile.mkdtemp()) / name
    shutil.copytree(package, folder)
    shutil.copyfile(package / "onnx/model.onnx", folder / model_file_map[name])
    ranker = Ranker(name, str(folder.parent), max_length=TOKENS, log_level="ERROR")

    def score(pairs: Pairs) -> NDArray[np.float32]:
        passages = [{"id": place, "text": text} for place, (_, text) in enumerate(pairs)]
        found = ranker.rerank(RerankRequest(query=pairs[0][0], passages=passages))
        shares = np.array([each["score"] for each in sorted(found, key=lambda each: each["id"])], dtype=np.float64)
        return np.log(shares / (1 - shares)).astype(np.float32)  # it returns sigmoids

    return _query_by_query(score)


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

    return _query_by_query(score)


def infinity(package: Path, device: str = "cpu", dtype: str = "float32") -> Score:
    """Infinity's engine with PyTorch; one query after another."""
    from infinity_emb import EngineArgs
    from infinity_emb.sync_engine import SyncEngineArray

    arguments = EngineArgs(
        model_name_or_path=str(package),
        served_model_name="package",
        trust_remote_code=False,
        engine="torch",
        device=device,
        dtype=dtype,
        bettertransformer=False,  # as in docs/clients.md
        model_warmup=False,
    )
    engine = SyncEngineArray.from_args([arguments])

    def score(pairs: Pairs) -> NDArray[np.float32]:
        texts = [text for _, text in pairs]
        found, _ = engine.rerank(model="package", query=pairs[0][0], docs=texts, raw_scores=True).result()
        return np.array([each.relevance_score for each in sorted(found, key=lambda each: each.index)], dtype=np.float32)

    return _query_by_query(score)


CLIENTS: dict[str, Callable[[Path], Score]] = {
    EXACT: _ours("onnx"),
    "crossforge onnx-int8": _ours("onnx-int8"),
    "crossforge openvino": _ours("openvino"),
    "crossforge openvino-bf16": _ours("openvino-bf16"),
    STOCK: cross_encoder,
    f"{STOCK}, best batch size": _cross_encoder_at_its_best,
    "FlashRank": _flashrank,
    "FastEmbed": _fastembed,
    "AnswerDotAI rerankers": _rerankers,
    "Infinity's engine": infinity,
}
# client whose dependencies conflict with the toolkit's -> the environment that `make test-clients` builds for it
ENVIRONMENTS = {"FastEmbed": "fastembed", "Infinity's engine": "infinity"}

if __name__ == "__main__":
    main()

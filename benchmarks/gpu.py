"""Speed of scoring and training on a GPU, ours and stock: `python benchmarks/gpu.py [--size small]`.

Prints a Markdown table within `--limit` seconds, nine minutes by default; rows that would not end by then are skipped
and named. Needs no download: the model is a BERT of the given size with random weights, and the texts are random words,
in pairs whose lengths are drawn log-normally between 16 and 512 tokens. Each row warms up, and then repeats its work
for `--seconds`. crossforge's `Reranker` stands beside `CrossEncoder.predict`, and the toolkit's training beside
sentence-transformers' `CrossEncoderTrainer` with `ListNetLoss`, which also takes a softmax over each query's documents.
Both trainers compute in bf16, and are otherwise as they come: ours without dropout, in micro-batches of like lengths.

Model FLOPs are 2 × parameters of the layers × non-padding tokens in scoring, and 6 × in training; attention's own
products are left out, and what a path does not compute (we give the last layer's first token alone) counts all the
same. MFU is their share of what the card can do in that number format, where `PEAKS` has the card.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
import transformers
from datasets import Dataset
from random_reranker import SIZES, as_pairs, make_groups, make_reranker
from reranking_clients import TOKENS, Pairs, Score, cross_encoder, infinity
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import ListNetLoss
from training_throughput import layer_parameters, our_settings, stock_settings, turn

from crossforge import Reranker
from crossforge.batching import CPU_TOKEN_BUDGET
from crossforge.loading import pair_tokenizer
from crossforge_train.config.training import PickedTraining
from crossforge_train.libraries import quieten
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.training.collator import batch_collator
from crossforge_train.training.model import load_model

# Dense TFLOP/s by words of the card's name, of half precision with fp32 accumulation and of fp32 without TF32, from
# NVIDIA's data sheets. The first entry that fits counts.
PEAKS: dict[str, tuple[float, float]] = {
    "H200 NVL": (835.5, 60),
    "H200": (989.5, 67),
    "H100 NVL": (835.5, 60),
    "H100 PCIe": (756, 51),
    "H100": (989.5, 67),
    "A100": (312, 19.5),
    "L40S": (362, 91.6),
    "L4": (121, 30.3),
}
SCORING, TRAINING = "scoring", "training"
FP32, BF16, FP16 = "fp32", "bf16", "fp16"
DOCUMENTS = {SCORING: 64, TRAINING: 8}  # per query
ENDLESS = 10**6  # steps: a training is stopped by the clock
MARGIN = 20.0  # seconds that a row is taken to need besides those it measures, until one took longer


@dataclass(frozen=True)
class Work:
    """What a row did in `seconds`; `tokens` leave out padding."""

    seconds: float
    pairs: int
    tokens: int


@dataclass(frozen=True)
class Row:
    """A row of the table; `measure` loads its model, warms up and works."""

    work: str
    path: str
    precision: str
    measure: Callable[[], Work]


def main() -> None:
    """Print the table, and then the rows that are not in it."""
    begin = time.monotonic()
    options = _options()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # set, so that nothing warns of it
    quieten()
    with tempfile.TemporaryDirectory() as name:
        model = make_reranker(Path(name) / "model", SIZES[options.size])
        groups = make_groups(-(-options.pairs // DOCUMENTS[SCORING]), DOCUMENTS[SCORING])
        rows = [*_training(model, options), *_scoring(model, as_pairs(groups)[: options.pairs], options)]
        _print_head(options)
        missing = _measure(rows, layer_parameters(_stock_model(model)), begin, options)
    if missing:
        print("\nNot measured:\n")
    for row, why in missing:
        print(f"- {row.work}, {row.path}, {row.precision}: {why}")


def _options() -> argparse.Namespace:
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="base" if gpu else "tiny")
    parser.add_argument("--seconds", type=float, default=25 if gpu else 1, help="time to measure per row")
    parser.add_argument("--limit", type=float, default=540, help="time for all rows together, in seconds")
    parser.add_argument("--pairs", type=int, default=2048 if gpu else 64, help="pairs per call of scoring")
    parser.add_argument("--groups", type=int, default=16 if gpu else 2, help="groups of 8 pairs per training step")
    parser.add_argument(
        "--token-budgets", type=int, nargs="+", default=[32768, CPU_TOKEN_BUDGET] if gpu else [CPU_TOKEN_BUDGET],
        help="padded tokens per batch of `Reranker`",
    )  # fmt: skip
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[32, 256] if gpu else [32], help="pairs per batch of `predict`"
    )
    return parser.parse_args()


def _scoring(model: Path, pairs: Pairs, options: argparse.Namespace) -> Iterator[Row]:
    tokens = sum(len(pair.ids) for pair in pair_tokenizer(model, TOKENS).encode(list(pairs)))

    def row(path: str, precision: str, load: Callable[[], Score]) -> Row:
        return Row(SCORING, path, precision, lambda: _scored(load(), pairs, tokens, options.seconds))

    for budget in options.token_budgets:
        for backend, precision in (("torch", FP32), ("torch-bf16", BF16), ("torch-fp16", FP16)):
            yield row(
                f"crossforge {backend}, {budget:,} tokens a batch", precision, partial(_ours, model, backend, budget)
            )
    for size in options.batch_sizes:
        for precision, dtype in ((FP32, "float32"), (BF16, "bfloat16")):
            yield row(
                f"CrossEncoder.predict, {size} pairs a batch", precision, partial(cross_encoder, model, size, dtype)
            )
    if importlib.util.find_spec("infinity_emb") and torch.cuda.is_available():
        yield row("Infinity's engine", FP16, partial(infinity, model, "cuda", "float16"))


def _ours(model: Path, backend: str, budget: int) -> Score:
    reranker = Reranker(model, backend=backend, token_budget=budget)
    return lambda pairs: reranker.score_pairs(pairs).logits


def _scored(score: Score, pairs: Pairs, tokens: int, seconds: float) -> Work:
    """Score the pairs again and again; a call returns numpy arrays, so a GPU is done by then."""
    score(pairs)
    begin, calls, took = time.perf_counter(), 0, 0.0
    while took < seconds or not calls:
        score(pairs)
        calls, took = calls + 1, time.perf_counter() - begin
    return Work(took, calls * len(pairs), calls * tokens)


def _training(model: Path, options: argparse.Namespace) -> list[Row]:
    groups = make_groups(32 * options.groups, DOCUMENTS[TRAINING])
    label = [1.0] + [0.0] * (DOCUMENTS[TRAINING] - 1)
    dataset = Dataset.from_list([{"query": query, "documents": texts, "label": label} for query, texts in groups])
    return [
        Row(TRAINING, "crossforge, GroupLoss", BF16, partial(_our_training, model, dataset, options)),
        Row(TRAINING, "CrossEncoderTrainer, ListNetLoss", BF16, partial(_stock_training, model, dataset, options)),
    ]


def _our_training(model: Path, dataset: Dataset, options: argparse.Namespace) -> Work:
    training = PickedTraining(
        precision="bf16", distillation_weight=0, learning_rate=1e-5, head_learning_rate=1e-5, epochs=1,
        max_length=TOKENS, groups_per_batch=options.groups,
    )  # fmt: skip
    trained = load_model(model, training)
    cpu = trained.device.type == "cpu"
    settings = our_settings(training, model / "ours", len(dataset), ENDLESS, 0, cpu=cpu)
    collator = batch_collator(pair_tokenizer(model, TOKENS), training, cpu=cpu)
    return _trained(trained, dataset, GroupLoss(trained, training), settings, options, collator)


def _stock_training(model: Path, dataset: Dataset, options: argparse.Namespace) -> Work:
    trained = _stock_model(model)
    settings = stock_settings(model / "stock", options.groups, ENDLESS, 0, bf16=True)
    return _trained(trained, dataset, ListNetLoss(trained), settings, options)


def _stock_model(model: Path) -> CrossEncoder:
    return CrossEncoder(str(model), num_labels=1, local_files_only=True)


def _trained(
    model: CrossEncoder, dataset: Dataset, loss: Any, settings: Any, options: argparse.Namespace, collator: Any = None
) -> Work:
    warm_up = 5 if torch.cuda.is_available() else 1
    done = turn(model, dataset, loss, settings, collator, warm_up=warm_up, seconds=options.seconds)
    return Work(done.seconds, done.pairs, done.tokens)


def _print_head(options: argparse.Namespace) -> None:
    shape, gpu = SIZES[options.size], _gpu()
    versions = [f"{library.__name__} {library.__version__}" for library in (torch, transformers, sentence_transformers)]
    print(", ".join([gpu or f"CPU with {torch.get_num_threads()} threads", *versions]))
    print(
        f"BERT {options.size}: {shape.layers} layers of {shape.hidden}; {options.pairs:,} pairs a call, "
        f"{options.groups} groups of {DOCUMENTS[TRAINING]} a step; {options.seconds:g} s a row\n"
    )
    print("| work | path | precision | pairs/s | model TFLOP/s | MFU |\n|---|---|---|---|---|---|", flush=True)


def _measure(rows: Sequence[Row], layers: int, begin: float, options: argparse.Namespace) -> list[tuple[Row, str]]:
    """Measure and print each row that the time allows; return the others, each with the reason."""
    missing, margin, card = [], min(MARGIN, options.limit / 10), _gpu()
    for row in rows:
        started = time.monotonic()
        left = begin + options.limit - started
        if left < options.seconds + margin:
            missing.append((row, f"{max(left, 0):.0f} s were left of {options.limit:g}"))
            continue
        try:
            with _at_most(left):
                print(_line(row, row.measure(), layers, card), flush=True)
        except Exception as error:  # one row, of whatever library, must not cost the others
            missing.append((row, f"{type(error).__name__}: {error}".splitlines()[0]))
        margin = max(margin, time.monotonic() - started - options.seconds)
        _free()
    return missing


def _line(row: Row, done: Work, layers: int, card: str | None) -> str:
    tera = (6 if row.work == TRAINING else 2) * layers * done.tokens / done.seconds / 1e12
    peak = peak_tflops(card, row.precision) if card else None
    share = f"{tera / peak:.1%}" if peak else "–"
    return f"| {row.work} | {row.path} | {row.precision} | {done.pairs / done.seconds:,.1f} | {tera:.3g} | {share} |"


def peak_tflops(card: str, precision: str) -> float | None:
    """Peak dense TFLOP/s of a card by its name; None if it is not known, or only a part of the card is used."""
    words = set(card.replace("-", " ").split())
    if "MIG" in words:
        return None
    found = next((peaks for name, peaks in PEAKS.items() if words.issuperset(name.split())), None)
    return found and found[precision == FP32]


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in the block when the time is up, where the system has alarms."""

    def stop(*_: object) -> None:
        raise TimeoutError("the time for all rows was up")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _free() -> None:
    """Give the last row's memory back to the next one."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()

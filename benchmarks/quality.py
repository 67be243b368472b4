"""Compare whole recipes with the alternatives on test collections: `python benchmarks/quality.py CONFIG ...`.

For each config and seed, the config's own run (trained on train, selected on dev, measured once on test) is compared,
over the candidates that it reranks, with the first stage, BM25, the untrained base model as a bi-encoder, and the
recipe that sentence-transformers documents for cross-encoders ("stock"), trained on as many pairs as ours. Stock is
trained at its documented learning rate of 2e-5, and "tuned" is the best on dev of that rate and --stock-rates. "Fused"
adds the first stage's score with a weight chosen on dev. All rerankers run on the config's `evaluation.backend`.

The stock recipe is that of `training_gooaq_bce.py` and `training_nq_bce.py`, the examples for rerankers of
sentence-transformers 6: `mine_hard_negatives` with 5 of the first 100 documents that are no more similar to the query
than its relevant one (`absolute_margin=0`), which it looks for among the relevant documents of all training queries (no
`corpus`); binary cross-entropy with a pos_weight of 5; a tenth of the steps to warm up. Unlike there, the embedder is
the base model, and a batch has 16 pairs instead of 64.

Results are kept under --out and reused where they were made from the same inputs, so an interrupted run resumes where
it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossforge.errors import InputError
from crossforge.files import read_json, remove, write_json
from crossforge.pipeline import DEFAULT_DEPTH
from crossforge.reranker import Reranker
from crossforge.runs import Run, ids_by_query, read_run, write_run
from crossforge_train.cli.display import RichReporter
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.config.training import AUTO
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.encoders.embeddings import Embeddings, open_embeddings
from crossforge_train.evaluation.free_alternatives import BI_ENCODER, BI_ENCODER_FUSED
from crossforge_train.evaluation.free_retrievers import encoder_of_candidates
from crossforge_train.evaluation.fusion_weight import choose_fusion_weight
from crossforge_train.evaluation.metrics import Rankings, as_run, mean, measure_rankings, trec_order
from crossforge_train.evaluation.scoring import ScoredQuery, rankings, score_queries
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.evaluation.verdict import Comparison, Contest, compare_systems
from crossforge_train.models.base_model import find_base_model, model_hash
from crossforge_train.models.export import export_onnx
from crossforge_train.pair_scoring import backend_for
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import FINETUNE, MINE, RunFolder
from crossforge_train.stages.encoder_length import with_encoder_length
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.records import read_record
from crossforge_train.stages.runner import run_stages
from crossforge_train.training.arguments import step_count

DOCUMENTED_RATE = 2e-5
STOCK_NEGATIVES, STOCK_BATCH, STOCK_MARGIN = 5, 16, 0.0
FIRST_STAGE, BM25 = "first stage", "BM25"
OURS, OURS_FUSED = "reranker", "as shipped"
# System -> tag in the names of the run files that the stage `evaluate` writes.
_OUR_RUNS = {
    FIRST_STAGE: "first-stage",
    BM25: "BM25",
    BI_ENCODER: "base-as-bi-encoder",
    BI_ENCODER_FUSED: "base-as-bi-encoder-fused",
    OURS: "reranker-alone",
    OURS_FUSED: "as-shipped",
}
Scorer = Callable[[Bench], dict[str, ScoredQuery]]


@dataclass(frozen=True)
class Work:
    """One config with one seed.

    Attributes:
        config: of our run.
        collection: of our run.
        dev: the bench for choices.
        test: the bench that is measured.
        folder: caches rankings and models.
        stock_rates: learning rates of the stock recipe.
        with_ours: whether our own recipe was trained and evaluated.
    """

    config: Config
    collection: Collection
    dev: Bench
    test: Bench
    folder: Path
    stock_rates: tuple[float, ...]
    with_ours: bool


@dataclass(frozen=True)
class OurTraining:
    """The training budget and settings of our run, which the stock recipe gets too."""

    pairs: int
    max_length: int
    bf16: bool


def main() -> None:
    """Run whatever is missing and print a table of all results."""
    options = _options()
    rows = []
    for path in options.configs:
        for seed in options.seeds:
            try:
                rows.append(_row(path, seed, options))
            except InputError as error:
                print(f"skipped {path}: {error}", file=sys.stderr)
    print(_table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--max-queries", type=int, help="measure a seeded sample of this many test queries")
    parser.add_argument(
        "--stock-rates", type=float, nargs="*", default=[1e-4, 3e-4], help="rates to try besides 2e-5, or none"
    )
    parser.add_argument("--without-stock", action="store_true", help="skip the stock recipe")
    parser.add_argument("--without-ours", action="store_true", help="mine, but do not train or evaluate our own recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config value")
    return parser.parse_args()


def _row(path: Path, seed: int, options: argparse.Namespace) -> str:
    overrides = [
        *options.set,
        f"runs={options.out}",
        f"seed={seed}",
        f"name={path.stem}-{seed}",
        "evaluation.minutes=null",
    ]
    if options.max_queries:
        overrides.append(f"evaluation.max_queries={options.max_queries}")
    config = load_config(path, overrides)
    run_stages(config, stages_until(config, "mine" if options.without_ours else "evaluate"), RichReporter())
    rates = (DOCUMENTED_RATE, *options.stock_rates)
    work = _work(config, options.out / "others" / config.name, rates, with_ours=not options.without_ours)
    orders = _our_orders(work) if work.with_ours else _untrained_orders(work)
    if not options.without_stock:
        orders |= _stock_orders(work)
    return _line(work, orders)


def _work(config: Config, folder: Path, stock_rates: tuple[float, ...], *, with_ours: bool) -> Work:
    run = RunFolder(config.folder)
    collection, retriever = run.collected.collection(), run.mined.retriever()
    dev, (test, *_) = config.collection.dev_split, config.collection.test_splits
    settings = config.evaluation
    depth = run.evaluated.report.depth if with_ours else _depth_without_ours(settings)

    def bench(split: str, limit: int | None) -> Bench:
        found = run.mined.run(split)
        return set_up_bench(collection, split, found, retriever, depth, settings, config.seed, SilentReporter(), limit)

    benches = bench(dev, settings.most_dev_queries), bench(test, settings.most_queries)
    return Work(config, collection, *benches, folder, stock_rates, with_ours)


def _depth_without_ours(settings: EvaluationConfig) -> int:
    """How many candidates are reranked where no evaluation has chosen it."""
    return DEFAULT_DEPTH if settings.depth == "auto" else settings.depth


def _our_orders(work: Work) -> dict[str, Rankings]:
    """The rankings that the stage `evaluate` wrote: ours and the untrained ones."""
    runs = work.config.folder / "evaluate" / "runs"
    found = {name: runs / f"{work.test.split}.{tag}.trec" for name, tag in _OUR_RUNS.items()}
    return {name: trec_order(read_run(path)) for name, path in found.items() if path.is_file()}


def _untrained_orders(work: Work) -> dict[str, Rankings]:
    """The first stage's ranking and, where there is a bi-encoder, that by its cosines, alone and fused."""
    config = with_encoder_length(work.config, RunFolder(work.config.folder).mined)
    model = base_embeddings(config, SilentReporter())
    orders: dict[str, Rankings] = {FIRST_STAGE: trec_order(work.test.run)}
    if model is None:
        return orders

    def scored(bench: Bench) -> dict[str, ScoredQuery]:
        return cosine_scores(model, work.collection, bench.queries, bench.run, bench.depth)

    return orders | _kept(work, BI_ENCODER, {"encoder": model.description}, scored)


def bi_encoder(model: str, runs: Path, max_length: int) -> Embeddings:
    """A bi-encoder, whose vectors are kept in a folder of runs."""
    found = open_embeddings(model, max_length, runs, SilentReporter())
    if found is None:
        raise SystemExit(f"{model} is no bi-encoder")
    return found


def cosine_scores(
    embeddings: Embeddings, collection: Collection, queries: Mapping[str, str], run: Run, depth: int
) -> dict[str, ScoredQuery]:
    """Score each query's first `depth` candidates, with cosines in place of logits."""
    candidates = {query_id: run[query_id][:depth] for query_id in queries}
    doc_ids = ids_by_query(candidates)
    cosines = encoder_of_candidates(collection, [candidates], embeddings).scores(queries, doc_ids)

    def scored(query_id: str) -> ScoredQuery:
        first_stage = np.array([one.score for one in candidates[query_id]], dtype=np.float64)
        return ScoredQuery(doc_ids[query_id], first_stage, cosines[query_id], np.zeros(len(first_stage), dtype=bool))

    return {query_id: scored(query_id) for query_id in queries}


def _stock_orders(work: Work) -> dict[str, Rankings]:
    """Rankings by the stock recipe at its documented learning rate, and at the rate that is best on dev."""
    documented = _kept_stock(work, "stock", DOCUMENTED_RATE)
    if len(work.stock_rates) == 1:
        return documented
    return documented | _kept_stock(work, "stock, tuned", max(work.stock_rates, key=lambda rate: _on_dev(work, rate)))


def _kept_stock(work: Work, name: str, rate: float) -> dict[str, Rankings]:
    return _kept(work, name, _stock_inputs(work, rate), lambda bench: _scored_by(bench, _stock_model(work, rate)))


def _on_dev(work: Work, rate: float) -> float:
    model = _stock_model(work, rate)
    measured, inputs = model / "dev.json", _bench_inputs(work.dev)
    if not _made_of(measured, inputs):
        order = rankings(_scored_by(work.dev, model), work.dev.run, 0.0)
        write_json(measured, {"of": inputs, "value": _quality(work.dev, order)})
    return float(read_json(measured)["value"])


def _scored_by(bench: Bench, model: Path) -> dict[str, ScoredQuery]:
    pipeline = bench.pipeline(Reranker(model, backend=backend_for(bench.config.backend)))
    return score_queries(pipeline, bench.queries, bench.run, bench.depth, SilentReporter(), "scoring")


def _kept(work: Work, name: str, system: Mapping[str, Any], scored: Scorer) -> dict[str, Rankings]:
    """One system's rankings on test, alone and fused; computed once for the same inputs, then read back.

    Args:
        work: the benches, and the folder of the rankings.
        name: of the system.
        system: what the system was made from.
        scored: its scores on a bench.
    """
    files = {label: work.folder / f"{label}.trec" for label in (name, f"{name}, fused")}
    record, inputs = work.folder / f"{name}.json", {**_inputs(work), **system}
    if not _made_of(record, inputs):
        remove(record)  # what it says is not true of the files while they are written
        config = work.config
        weight = choose_fusion_weight(
            scored(work.dev), work.dev.run, work.dev.qrels, config.evaluation.metric, config.seed
        )
        on_test = scored(work.test)
        work.folder.mkdir(parents=True, exist_ok=True)
        for (label, path), share in zip(files.items(), (0.0, weight), strict=True):
            order = rankings(on_test, work.test.run, share)
            write_run(path, as_run(order), label.replace(" ", "-").replace(",", ""))
        write_json(record, {"of": inputs})
    return {label: trec_order(read_run(path)) for label, path in files.items()}


def _made_of(record: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether a file says that it, or what lies beside it, was made from just these inputs."""
    found = read_json(record) if record.is_file() else None
    return isinstance(found, dict) and found.get("of") == inputs


def _inputs(work: Work) -> dict[str, Any]:
    """What the rankings of every system depend on, as JSON."""
    return {"mined": _mined(work), "dev": _bench_inputs(work.dev), "test": _bench_inputs(work.test)}


def _mined(work: Work) -> list[str | None]:
    """Which candidates and groups these are."""
    record = read_record(RunFolder(work.config.folder), MINE)
    return [record.fingerprint, record.made] if record else []


def _bench_inputs(bench: Bench) -> dict[str, Any]:
    settings = bench.config.model_dump(mode="json", include={"metric", "backend", "passages"})
    return {"queries": sorted(bench.queries), "depth": bench.depth, **settings}


def _stock_inputs(work: Work, rate: float) -> dict[str, Any]:
    """What a stock model depends on, as JSON."""
    return {
        "mined": _mined(work),
        "base_model": model_hash(find_base_model(work.config.base_model)),
        "rate": rate,
        "batch": STOCK_BATCH,
        "negatives": STOCK_NEGATIVES,
        "margin": STOCK_MARGIN,
        **asdict(_our_training(work)),
    }


def _stock_model(work: Work, rate: float) -> Path:
    """Folder of the model trained with sentence-transformers' documented recipe, which is trained if missing."""
    folder = work.folder / f"stock-{rate:g}"
    if not _made_of(folder / "training.json", _stock_inputs(work, rate)):
        _train_stock(work, rate, folder)
    return folder


def _train_stock(work: Work, rate: float, folder: Path) -> None:
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    config, collection = work.config, work.collection
    base = str(find_base_model(config.base_model))
    wanted = sorted({group.query_id for group in RunFolder(config.folder).mined.groups()})
    qrels = collection.qrels(config.collection.train)
    rows = [
        {"query": collection.queries[query_id], "document": collection.corpus[doc_id].full_text}
        for query_id in wanted
        for doc_id in positives(qrels[query_id])
    ]
    ours = _our_training(work)
    model = CrossEncoder(
        base,
        num_labels=1,
        max_length=ours.max_length,
        local_files_only=True,
        model_kwargs={"attn_implementation": "eager"},  # same result, a quarter faster on a CPU
    )
    started = time.monotonic()
    CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(
            output_dir=str(folder.with_name(f"{folder.name}.checkpoints")),
            per_device_train_batch_size=STOCK_BATCH,
            max_steps=round(ours.pairs / STOCK_BATCH),
            learning_rate=rate,
            warmup_steps=0.1,
            bf16=ours.bf16,
            use_cpu=not torch.cuda.is_available(),  # otherwise bf16 is rejected without a GPU
            seed=config.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=stock_pairs(base, rows),
        loss=BinaryCrossEntropyLoss(model, pos_weight=torch.tensor(float(STOCK_NEGATIVES))),
    ).train()
    partial = folder.with_name(f"{folder.name}.partial")
    model.save_pretrained(str(partial), safe_serialization=True)
    export_onnx(model.model, partial)
    write_json(partial / "training.json", {"of": _stock_inputs(work, rate), "seconds": time.monotonic() - started})
    remove(folder)
    partial.rename(folder)


def stock_pairs(base: str, rows: Sequence[Mapping[str, str]]) -> Any:
    """The training pairs of the stock recipe, as a dataset with the columns query, document and label.

    Args:
        base: folder of a bi-encoder.
        rows: each a query and one of its relevant documents.
    """
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    return mine_hard_negatives(
        Dataset.from_list(list(rows)),
        SentenceTransformer(base, local_files_only=True),
        num_negatives=STOCK_NEGATIVES,
        range_max=100,
        absolute_margin=STOCK_MARGIN,
        sampling_strategy="top",
        output_format="labeled-pair",
        verbose=False,
    )


def _our_training(work: Work) -> OurTraining:
    """Pairs and settings of our training; if it was skipped, what the config implies.

    Raises:
        InputError: our training was skipped and the config leaves one of these values to be chosen automatically.
    """
    config = work.config
    group_size, per_step = config.mining.negatives + 1, config.training.groups_per_batch
    run = RunFolder(config.folder)
    if work.with_ours:
        history = run.last_finetuned(config.mining.rounds).history
        pairs = history.steps * per_step * group_size
        return OurTraining(pairs, history.training.max_length, history.training.precision == "bf16")
    epochs, max_length, precision = config.training.epochs, config.training.max_length, config.training.precision
    if isinstance(epochs, str) or isinstance(max_length, str) or precision == AUTO:
        raise InputError("--without-ours: training.epochs, max_length and precision cannot be auto: use --set")
    groups = sum(1 for _ in run.mined.groups())
    return OurTraining(step_count(epochs, groups, per_step) * per_step * group_size, max_length, precision == "bf16")


def _quality(bench: Bench, order: Rankings) -> float:
    return mean(measure_rankings([bench.config.metric], bench.qrels, order)[bench.config.metric])


SYSTEMS = (
    FIRST_STAGE,
    BM25,
    BI_ENCODER,
    BI_ENCODER_FUSED,
    "stock",
    "stock, fused",
    "stock, tuned",
    "stock, tuned, fused",
    OURS,
    OURS_FUSED,
)


def _line(work: Work, orders: Mapping[str, Rankings]) -> str:
    bench, metric = work.test, work.config.evaluation.metric
    orders = {name: {query_id: order.get(query_id, []) for query_id in bench.queries} for name, order in orders.items()}
    values = {name: measure_rankings([metric], bench.qrels, order) for name, order in orders.items()}
    cells = [f"{mean(values[name][metric]):.3f}" if name in values else "–" for name in SYSTEMS]
    training, gain, behind = _training(work), "–", "–"
    if OURS_FUSED in orders:
        others = [name for name in orders if name not in (OURS, OURS_FUSED, FIRST_STAGE)]
        contest = Contest(FIRST_STAGE, [(OURS_FUSED, FIRST_STAGE)], [(OURS_FUSED, name) for name in others])
        comparisons = compare_systems(values, contest, work.config.evaluation, work.config.seed)
        gain, behind = _gain(next(each for each in comparisons if each.decisive)), _behind(comparisons)
    return "| " + " | ".join([work.config.name, str(len(bench.queries)), training, *cells, gain, behind]) + " |"


def _training(work: Work) -> str:
    if not work.with_ours:
        return "–"
    run = RunFolder(work.config.folder)
    finetuned = run.last_finetuned(work.config.mining.rounds)
    minutes = read_json(run.record(FINETUNE))["seconds"] / 60
    return f"{finetuned.history.groups:,} groups, {minutes:.0f} min"


def _gain(found: Comparison) -> str:
    low, high = found.interval
    return f"{found.difference:+.3f} [{low:+.3f}, {high:+.3f}] {found.verdict}"


def _behind(comparisons: Sequence[Comparison]) -> str:
    found = [each.baseline for each in comparisons if each.system == OURS_FUSED and each.difference < 0]
    return ", ".join(found) or "nothing"


def _table(rows: Sequence[str]) -> str:
    head = ["config-seed", "queries", "training", *SYSTEMS, f"{OURS_FUSED} over {FIRST_STAGE}", "behind"]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows])


if __name__ == "__main__":
    main()

"""Stage `evaluate`: chooses fusion weight, calibrator and threshold on dev, then measures each test split once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.backends.choice import AUTO
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError, PackageError
from crossforge.files import sha256
from crossforge.loading import find_folder, holds_reranker
from crossforge.reranker import Reranker
from crossforge.retrievers.base import Retriever, StoredRetriever
from crossforge_train.base_model import find_base_model, model_hash
from crossforge_train.collections.beir import beir_files
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.places import missing_folder
from crossforge_train.collections.readers.reader import file_hashes
from crossforge_train.config.evaluation import GuardConfig
from crossforge_train.config.run import Config
from crossforge_train.evaluation.budget import depth_within, milliseconds_by_depth
from crossforge_train.evaluation.depth import choose_depth
from crossforge_train.evaluation.dev_choices import tune
from crossforge_train.evaluation.free_alternatives import Free, free_systems
from crossforge_train.evaluation.free_retrievers import free_retrievers
from crossforge_train.evaluation.guard import Guard, measure_guard
from crossforge_train.evaluation.outcome import TrainingCurves, make_report
from crossforge_train.evaluation.proof import Shipped, measure_shipped
from crossforge_train.evaluation.systems import (
    BASE_MODEL,
    BM25,
    INCUMBENT,
    Bench,
    System,
    opened,
    opened_system,
    reranker_system,
    set_up_bench,
)
from crossforge_train.first_stage import in_words
from crossforge_train.run_folder import EVALUATE, EvaluatedFolder
from crossforge_train.stages.embedding import base_embeddings
from crossforge_train.stages.stage import Context, Stage
from crossforge_train.training.history import History
from crossforge_train.versions import versions


def _depends_on(config: Config) -> Mapping[str, Any]:
    evaluation = config.evaluation
    return {
        # Version 0.1 had no guard; without one its stages still count as finished.
        "evaluation": evaluation.model_dump(mode="json", exclude=None if evaluation.guard else {"guard"}),
        "incumbent": _incumbent_hash(evaluation.incumbent) if evaluation.incumbent else None,
        "test": config.collection.test_splits,
        "seed": config.seed,
        **({"budget_ms": config.package.budget_ms} if config.package.budget_ms else {}),
        "base_model": model_hash(find_base_model(config.base_model)),
        "versions": versions("crossforge", "ir_measures", "onnxruntime"),
        **({"guard": _guard_hashes(evaluation.guard)} if evaluation.guard else {}),
        **BACKENDS.version(evaluation.backend),
    }


def _incumbent_hash(reference: str) -> Mapping[str, str]:
    """Hashes of the run file or the reranker's files, since the content behind a path can change."""
    if Path(reference).is_file():
        return {reference: sha256(Path(reference))}
    try:
        folder = find_folder(reference)
    except PackageError as error:
        raise InputError(f"evaluation.incumbent: {error} (nor a TREC run file of that name)") from None
    return model_hash(folder)


def _guard_hashes(guard: GuardConfig) -> Mapping[str, Any]:
    if not guard.beir.is_dir():
        raise missing_folder(guard.beir)
    files = beir_files(guard.beir)
    # Checked here so that a wrong name is reported before hours of training.
    splits = [path.name.removesuffix(".gz").removesuffix(".tsv") for path in files[2:]]
    if guard.split not in splits:
        raise InputError(
            f"evaluation.guard: {guard.beir} has no split {guard.split!r}; it has {', '.join(splits) or 'none'}"
        )
    return file_hashes(files)


def _run(context: Context) -> None:
    config, settings, run = context.config, context.config.evaluation, context.run
    written, finetuned = EvaluatedFolder(context.folder), run.last_finetuned(config.mining.rounds)
    collection, retriever = run.collected.collection(), run.mined.retriever()
    reranker = Reranker(finetuned.model, backend=backend_for(settings.backend))
    depth = _affordable(context, collection, retriever, reranker, _depth(context, collection))
    dev = dev_bench(context, collection, retriever, depth)
    tests = config.collection.test_splits
    benches = [_bench(context, collection, retriever, split, depth, settings.max_queries) for split in tests]
    rivals = _rivals(config)
    free = _free(context, collection, retriever, dev, benches)
    tuned = tune(dev, reranker, free, _measured(dev, _untrained(rivals)))
    shipped = Shipped(tuned.fusion_weight, tuned.calibrator, tuned.threshold)
    splits = []
    for on in benches:
        others = [*free_systems(on, free.fused(tuned.free_fusion_weight)), *_measured(on, rivals)]
        measured = measure_shipped(on, reranker, shipped, others, tuned.best_free)
        written.save_details(measured, collection)
        splits.append(measured.report)
    written.save_report(
        make_report(
            config.name, run.collected.counts.name, settings.metric, depth, reranker.backend_name, splits,
            tuned, training_curves(finetuned.history), _guard(context, reranker, depth), in_words(retriever),
        )
    )  # fmt: skip


def _free(
    context: Context, collection: Collection, retriever: StoredRetriever, dev: Bench, tests: Sequence[Bench]
) -> Free:
    """The free alternatives of this run."""
    config, runs = context.config, [bench.run for bench in (dev, *tests)]
    embeddings = base_embeddings(config, context.reporter)
    bm25 = config.evaluation.bm25 and retriever.name != BM25  # the first stage may be BM25 itself
    return free_retrievers(retriever, collection, runs, embeddings, bm25=bm25, dev=dev)


def _untrained(rivals: Mapping[str, Reranker | Path]) -> dict[str, Reranker | Path]:
    """The base model as it is, which needs no training either."""
    return {name: found for name, found in rivals.items() if name == BASE_MODEL}


def _guard(context: Context, reranker: Reranker, depth: int) -> Guard | None:
    config = context.config
    if config.evaluation.guard is None:
        return None
    base, embeddings = find_base_model(config.base_model), base_embeddings(config, context.reporter)
    return measure_guard(config.evaluation.guard, config, reranker, base, embeddings, depth, context.reporter)


def training_curves(history: History) -> TrainingCurves:
    """The training curves that a report shows."""
    losses, measured = history.losses(), history.dev_metrics()
    return TrainingCurves(
        [step for step, _ in losses],
        [loss for _, loss in losses],
        [step for step, _ in measured],
        [value for _, value in measured],
        history.first_stage_dev,
        history.best_step,
    )


def _depth(context: Context, collection: Collection) -> int:
    """How many candidates are reranked: as the config says, or as dev says."""
    config, settings = context.config, context.config.evaluation
    if settings.depth != "auto":
        return settings.depth
    dev = config.collection.dev_split
    depth = choose_depth(context.run.mined.run(dev), collection.qrels(dev), settings.metric)
    context.reporter.note(f"evaluation.depth: {depth}, by the ceiling on dev")
    return depth


def _affordable(context: Context, collection: Collection, retriever: Retriever, reranker: Reranker, depth: int) -> int:
    """As many of the candidates as `package.budget_ms` allows.

    Raises:
        InputError: no depth stays within the budget.
    """
    budget = context.config.package.budget_ms
    if budget is None:
        return depth
    dev = dev_bench(context, collection, retriever, depth)
    milliseconds = milliseconds_by_depth(dev, dev.pipeline(reranker))
    figures = ", ".join(f"{tried}: {took:.0f} ms" for tried, took in milliseconds.items())
    found = depth_within(budget, milliseconds)
    if found is None:
        raise InputError(f"package.budget_ms: {budget:g} ms are too few on this machine (by depth: {figures})")
    context.reporter.note(f"package.budget_ms: {found} candidates fit {budget:g} ms a query (by depth: {figures})")
    return found


def dev_bench(context: Context, collection: Collection, retriever: Retriever, depth: int) -> Bench:
    """The bench for choosing fusion weight, calibrator and threshold."""
    config = context.config
    return _bench(context, collection, retriever, config.collection.dev_split, depth, config.evaluation.max_dev_queries)


def _bench(
    context: Context, collection: Collection, retriever: Retriever, split: str, depth: int, limit: int | None
) -> Bench:
    config, run = context.config, context.run.mined.run(split)
    return set_up_bench(
        collection, split, run, retriever, depth, config.evaluation, config.seed, context.reporter, limit
    )


def _rivals(config: Config) -> dict[str, Reranker | Path]:
    """The alternatives, loaded once for all splits: the base model, if it is a reranker, and the incumbent, if any."""
    rivals: dict[str, Reranker | Path] = {}
    base_model = find_base_model(config.base_model)
    if holds_reranker(base_model):
        rivals[BASE_MODEL] = Reranker(base_model)
    if config.evaluation.incumbent:
        rivals[INCUMBENT] = opened(config.evaluation.incumbent)
    return rivals


def _measured(bench: Bench, rivals: Mapping[str, Reranker | Path]) -> list[System]:
    """The rivals as they would ship, but the base model always without fusion, whatever its package says."""
    return [
        reranker_system(bench, name, found, 0.0)
        if name == BASE_MODEL and isinstance(found, Reranker)
        else opened_system(bench, name, found)
        for name, found in rivals.items()
    ]


def backend_for(asked: str) -> str:
    """Resolve `evaluation.backend` for this machine."""
    import torch

    return "torch" if asked == AUTO and torch.cuda.is_available() else asked


STAGE = Stage(EVALUATE, _depends_on, _run)

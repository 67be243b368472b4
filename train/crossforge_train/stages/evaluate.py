"""Stage `evaluate`: chooses fusion weight, calibrator and threshold on dev, then measures each test split once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.backends.choice import AUTO
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError, PackageError
from crossforge.files import sha256
from crossforge.loading import find_folder, holds_reranker
from crossforge.reranker import Reranker
from crossforge.retrievers.base import Retriever
from crossforge_train.base_model import find_base_model, model_hash
from crossforge_train.collections.beir import beir_files
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.places import missing_folder
from crossforge_train.collections.readers.reader import file_hashes
from crossforge_train.config.evaluation import GuardConfig
from crossforge_train.config.run import Config
from crossforge_train.evaluation.dev_choices import tune
from crossforge_train.evaluation.guard import Guard, measure_guard
from crossforge_train.evaluation.outcome import TrainingCurves, make_report
from crossforge_train.evaluation.proof import measure_shipped
from crossforge_train.evaluation.systems import (
    BASE_MODEL,
    INCUMBENT,
    Bench,
    System,
    bm25_retriever,
    bm25_systems,
    opened,
    opened_system,
    reranker_system,
    set_up_bench,
)
from crossforge_train.run_folder import EVALUATE, EvaluatedFolder
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
    tuned = tune(dev_bench(context, collection, retriever), reranker)
    bm25 = bm25_retriever(collection, retriever) if _measures_bm25(config) else None
    rivals = _rivals(config)
    splits = []
    for split in config.collection.test_splits:
        on = _bench(context, collection, retriever, split, settings.max_queries)
        others = [*(bm25_systems(on, bm25) if bm25 else ()), *_measured(on, rivals)]
        measured = measure_shipped(on, reranker, tuned.fusion_weight, others, tuned.calibrator, tuned.threshold)
        written.save_details(measured, collection)
        splits.append(measured.report)
    written.save_report(
        make_report(
            config.name, run.collected.counts.name, settings.metric, settings.depth, reranker.backend_name, splits,
            tuned, training_curves(finetuned.history), _guard(context, reranker),
        )
    )  # fmt: skip


def _guard(context: Context, reranker: Reranker) -> Guard | None:
    config = context.config
    if config.evaluation.guard is None:
        return None
    base = find_base_model(config.base_model)
    return measure_guard(config.evaluation.guard, config, reranker, base, context.reporter)


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


def dev_bench(context: Context, collection: Collection, retriever: Retriever) -> Bench:
    """The bench for choosing fusion weight, calibrator and threshold."""
    config = context.config
    return _bench(context, collection, retriever, config.collection.dev_split, config.evaluation.max_dev_queries)


def _bench(context: Context, collection: Collection, retriever: Retriever, split: str, limit: int | None) -> Bench:
    config, run = context.config, context.run.mined.run(split)
    return set_up_bench(collection, split, run, retriever, config.evaluation, config.seed, context.reporter, limit)


def _measures_bm25(config: Config) -> bool:
    return config.evaluation.bm25 and config.first_stage.weighting != "bm25"  # the first stage may be BM25 itself


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

"""Stage `evaluate`: chooses fusion weight, calibrator and threshold on dev, then measures each test split once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossforge.backends.choice import AUTO
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError, NotCachedError, PackageError
from crossforge.files import sha256
from crossforge.loading import find_folder, holds_reranker
from crossforge.reranker import Reranker
from crossforge.retrievers.base import StoredRetriever
from crossforge_train.collections.beir import beir_files
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.places import missing_folder
from crossforge_train.collections.readers.reader import file_hashes
from crossforge_train.config.evaluation import MINUTES, GuardConfig
from crossforge_train.config.package import PackageConfig
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_embeddings, prompts_depend_on
from crossforge_train.encoders.embeddings import embeddings_if_exported
from crossforge_train.evaluation.combination import LEAST_QUERIES
from crossforge_train.evaluation.dev_choices import tune
from crossforge_train.evaluation.free_alternatives import free_systems
from crossforge_train.evaluation.guard import Guard, measure_guard
from crossforge_train.evaluation.outcome import TrainingCurves, make_report
from crossforge_train.evaluation.proof import Shipped, measure_shipped
from crossforge_train.evaluation.system_orders import both_labels
from crossforge_train.first_stage import approximated, in_words
from crossforge_train.models.base_model import find_base_model, is_bi_encoder, model_hash
from crossforge_train.run_folder import EVALUATE
from crossforge_train.stage_folders import EvaluatedFolder
from crossforge_train.stages.benches import split_bench, with_more_queries
from crossforge_train.stages.encoder_length import with_encoder_length
from crossforge_train.stages.orders import bench_of_both, measured_orders
from crossforge_train.stages.rivals import free_of_run, measured_rivals, open_rivals, untrained
from crossforge_train.stages.stage import Context, Stage
from crossforge_train.stages.subject import Subject, opened_subject
from crossforge_train.training.history import History
from crossforge_train.versions import versions


def _depends_on(config: Config) -> Mapping[str, Any]:
    evaluation = config.evaluation
    # Earlier versions had no guard, and always chose the calibration: without these, their stages count as finished.
    absent = {
        "guard": not evaluation.guard,
        "calibration": evaluation.calibration == AUTO,
        "minutes": evaluation.minutes == MINUTES or not evaluation.by_time,
    }
    return {
        "evaluation": evaluation.model_dump(
            mode="json", exclude={name for name, is_absent in absent.items() if is_absent}
        ),
        "incumbent": _incumbent_hash(evaluation.incumbent) if evaluation.incumbent else None,
        "test": config.collection.test_splits,
        "seed": config.seed,
        **_budget(config.package),
        **prompts_depend_on(config),
        "base_model": model_hash(find_base_model(config.base_model)),
        "versions": versions("crossforge", "ir_measures", "onnxruntime"),
        **({"guard": _guard_hashes(evaluation.guard, config.base_model)} if evaluation.guard else {}),
        **_free_depends_on(config),
        **BACKENDS.version(evaluation.backend),
    }


def _formerly(config: Config, depends_on: Mapping[str, Any]) -> Mapping[str, Any]:
    """Earlier versions measured all test queries and 500 dev queries, unless the config said otherwise."""
    settings = config.evaluation
    evaluation = {**depends_on["evaluation"], "max_queries": settings.most_queries}
    evaluation["max_dev_queries"] = settings.most_dev_queries
    if settings.minutes is None:  # which they did not have
        evaluation.pop("minutes", None)
    return {**depends_on, "evaluation": evaluation}


def _free_depends_on(config: Config) -> Mapping[str, Any]:
    """What the free alternatives depend on where the stage `mine` does not: what the base reads, and who chooses."""
    first_stage = config.first_stage
    if first_stage.embeds:
        return {}
    tokens = first_stage.encoder_tokens
    return {
        **({} if tokens is None else {"encoder_max_length": tokens}),
        **({"titles_from": LEAST_QUERIES} if config.collection.makes_queries else {}),
    }


def _budget(package: PackageConfig) -> Mapping[str, Any]:
    """What a budget depends on; nothing without one."""
    return package.model_dump(include={"budget_ms", "int8"}) if package.budget_ms else {}


def _incumbent_hash(reference: str) -> Mapping[str, str]:
    """Hashes of the run file or the reranker's files, since the content behind a path can change."""
    if Path(reference).is_file():
        return {reference: sha256(Path(reference))}
    try:
        folder = find_folder(reference)
    except PackageError as error:
        said = error.for_commands if isinstance(error, NotCachedError) else error
        raise InputError(f"evaluation.incumbent: {said} (nor a TREC run file of that name)") from None
    return model_hash(folder)


def _guard_hashes(guard: GuardConfig, base_model: str) -> Mapping[str, Any]:
    base = find_base_model(base_model)
    if not holds_reranker(base) and not is_bi_encoder(base):
        raise InputError(
            f"evaluation.guard: {base_model} is an encoder that cannot rank, so it can forget nothing; remove the key"
        )
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
    rounds = context.config.mining.rounds
    model = context.run.last_finetuned(rounds).model
    collection, retriever = context.run.collected.collection(), context.run.mined.retriever()
    rivals = open_rivals(context.config)
    others = sum(isinstance(found, Reranker) for found in rivals.values())
    with opened_subject(context, collection, retriever, model, others) as subject:
        shipped = context.run.shipped(rounds, subject.budget.shipped.layers if subject.budget else None)
        _measure(context, collection, retriever, subject, rivals, shipped.history)


def _measure(
    context: Context,
    collection: Collection,
    retriever: StoredRetriever,
    subject: Subject,
    rivals: Mapping[str, Reranker | Path],
    history: History,
) -> None:
    config, settings, written = context.config, context.config.evaluation, EvaluatedFolder(context.folder)
    dev, reranker = subject.dev, subject.reranker
    depth, passages, limits = dev.depth, dev.config.passages, subject.limits
    benches = [
        replace(
            split_bench(context, collection, retriever, split, depth, passages, limits.test, limits.deep),
            rivals_depth=dev.rivals_depth,
        )
        for split in config.collection.test_splits
    ]
    labels = both_labels(collection.judged_twice)
    both = bench_of_both(config, collection, retriever, labels, dev)
    measured_on = [*benches, *([both] if both else [])]
    chooser = with_more_queries(context, dev)
    free = free_of_run(context, collection, approximated(retriever, None), chooser, [dev, *measured_on])
    tuned = tune(dev, subject.alone, free, measured_rivals(dev, untrained(rivals)), chooser)
    shipped = Shipped(tuned.fusion_weight, tuned.calibrator, tuned.threshold)
    splits, counts = [], context.run.collected.counts
    for on in benches:
        others = [*free_systems(on, free.fused(tuned.free_fusion_weight)), *measured_rivals(on, rivals)]
        measured = measure_shipped(on, reranker, shipped, others, tuned.best_free)
        written.save_details(measured, collection)
        splits.append(measured.report)
    orders = measured_orders(
        both, labels, reranker, tuned.fusion_weight, free.fused(tuned.free_fusion_weight), rivals, settings.metric
    )
    written.save_report(
        make_report(
            config.name, counts.name, settings.metric, depth, reranker.backend_name, splits,
            tuned, training_curves(history), _guard(context, reranker, depth), in_words(retriever), subject.budget,
            counts.agreement, orders if collection.judged_twice else None,
        )
    )  # fmt: skip


def _guard(context: Context, reranker: Reranker, depth: int) -> Guard | None:
    config = with_encoder_length(context.config, context.run.mined)
    if config.evaluation.guard is None:
        return None
    base = find_base_model(config.base_model)
    embeddings = embeddings_if_exported(lambda: base_embeddings(config, context.reporter), context.reporter)
    if embeddings is None and not holds_reranker(base):
        context.reporter.note("evaluation.guard: not measured, because the base model cannot rank here")
        return None
    return measure_guard(config.evaluation.guard, config, reranker, base, embeddings, depth, context.reporter)


def training_curves(history: History) -> TrainingCurves:
    """The training curves that a report shows."""
    losses, measured, fused = history.losses(), history.dev_metrics(), dict(history.fused_dev_metrics())
    return TrainingCurves(
        [step for step, _ in losses],
        [loss for _, loss in losses],
        [step for step, _ in measured],
        [value for _, value in measured],
        history.first_stage_dev,
        history.best_step,
        history.start_share,
        [fused.get(step) for step, _ in measured] if fused else [],
    )


STAGE = Stage(EVALUATE, _depends_on, _run, formerly=_formerly)

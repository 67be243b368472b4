"""Stage `package`: collects model, calibration, proof and card in one folder, and checks it by loading it."""

from __future__ import annotations

import shutil
from collections.abc import Collection as Documents
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import crossforge
from crossforge.calibration import Calibrator
from crossforge.documents import Document
from crossforge.errors import CrossforgeError, InputError
from crossforge.manifest import Manifest, file_table, read_manifest, write_manifest
from crossforge.pipeline import save_first_stage
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import load_retriever
from crossforge.retrievers.recipe import can_repeat, save_recipe
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.evaluation.dev_choices import Tuned
from crossforge_train.evaluation.outcome import Report
from crossforge_train.evaluation.query_limits import LEAST_DEV
from crossforge_train.evaluation.systems import Bench
from crossforge_train.first_stage import approximated, approximation_of, fit_first_stage, vector_part, with_query_map
from crossforge_train.packaging.card import Student, model_card
from crossforge_train.packaging.folding import fold_calibrator
from crossforge_train.packaging.quantization import pack_int8, quantize
from crossforge_train.packaging.verify import SAMPLE, measure_agreement, require_same_scores
from crossforge_train.report.markdown import markdown
from crossforge_train.report.tables import with_article
from crossforge_train.run_folder import COLLECT, PACKAGE
from crossforge_train.stage_folders import PackageFolder, StudentFolder
from crossforge_train.stages.benches import dev_bench
from crossforge_train.stages.embedding import run_embeddings
from crossforge_train.stages.encoder_length import with_encoder_length
from crossforge_train.stages.records import read_record
from crossforge_train.stages.stage import Context, Stage
from crossforge_train.stages.subject import INT8
from crossforge_train.stages.tuned_encoder import tuned_embeddings
from crossforge_train.versions import versions


class RegressionError(CrossforgeError):
    """The reranker is worse than what it would replace and was not packaged; `report` has the figures."""

    exit_status = 2

    def __init__(self, report: Report) -> None:
        super().__init__(_why_not(report))
        self.report = report


def _depends_on(config: Config) -> Mapping[str, Any]:
    # Which students there are is in the fingerprints of their stages.
    return {"package": config.package.model_dump(exclude={"layers"}), "versions": versions("crossforge")}


def _run(context: Context) -> None:
    config, run, written = context.config, context.run, PackageFolder(context.folder)
    report, tuned = run.evaluated.report, _tuned(context)
    if report.verdict == "REGRESSION" and not config.package.allow_regression:
        raise RegressionError(report)
    finetuned, student = run.last_finetuned(config.mining.rounds), _student(context, report)
    model = (student or finetuned).model
    shutil.copytree(model, written.path, dirs_exist_ok=True)
    run.evaluated.copy_publishable(written.evaluation.path)
    collection, retriever = run.collected.collection(), run.mined.retriever()
    not_folded = fold_calibrator(written.path, tuned.calibrator)
    folded = None if not_folded else tuned.calibrator
    if report.budget and report.budget.shipped.backend == INT8:
        quantize(written.path)  # dev has decided for it
    elif config.package.int8:
        context.reporter.note(pack_int8(written.path, _dev(context, collection, retriever, report)))
    if config.package.include_corpus:
        documents, whole = _first_stage(context, collection, retriever)
        save_first_stage(written.first_stage, documents, whole)
        retriever = load_retriever(written.first_stage)  # so that the recipe finds its folders there
    if can_repeat(retriever):
        save_recipe(written.first_stage, retriever)
    card = model_card(
        config,
        run.collected.counts,
        finetuned.history,
        first_stage=retriever.name,
        why=run.mined.choice.why,
        results=markdown(report),
        version=crossforge.__version__,
        threshold=tuned.threshold,
        not_folded=not_folded,
        student=Student(student.kept, student.history) if student else None,
    )
    written.card.write_text(card, encoding="utf-8")
    with context.reporter.bar("checking the package", 1) as advance:
        pairs = list(islice(_judged_pairs(collection, config.collection.dev_split), SAMPLE))
        agreement = measure_agreement(written.path, pairs, folded)
        require_same_scores(model, written.path, pairs, folded)
        _write_manifest(context, written.path, report, agreement, folded)
        read_manifest(written.path)
        advance()


def _dev(context: Context, collection: Collection, retriever: StoredRetriever, report: Report) -> Bench:
    passages, limit = _passages(context.config, report), context.config.evaluation.max_dev_queries
    return dev_bench(context, collection, retriever, report.depth, passages, LEAST_DEV if limit == "auto" else limit)


def _passages(config: Config, report: Report) -> int:
    return report.budget.shipped.passages if report.budget else config.evaluation.passages


def _student(context: Context, report: Report) -> StudentFolder | None:
    """The student that ships; None if the trained reranker itself does."""
    layers = report.budget.shipped.layers if report.budget else None
    return None if layers is None else context.run.student(layers)


def _first_stage(
    context: Context, collection: Collection, retriever: StoredRetriever
) -> tuple[Documents[Document], StoredRetriever]:
    """The documents that apps search, and their index; it is rebuilt if pseudo-queries were cut from the run's."""
    if collection.served is None:
        return collection.corpus.values(), retriever
    whole = replace(collection, corpus=collection.served, splits={})
    settings, choice = context.config.first_stage, context.run.mined.choice
    embeddings = tuned_embeddings(context.config, context.run.mined, context.reporter)
    if embeddings is None and settings.embeds:
        embeddings = run_embeddings(with_encoder_length(context.config, context.run.mined), context.reporter)
    documents, part = whole.corpus.values(), vector_part(retriever)
    rebuilt = fit_first_stage(documents, settings.of_kind(choice.kind), embeddings, choice.weight)
    mapped = with_query_map(rebuilt, part.query_map if part else None)
    return documents, approximated(mapped, approximation_of(retriever))


def _why_not(report: Report) -> str:
    worse = {
        with_article(found.baseline)
        for split in report.splits
        for found in split.comparisons
        if found.decisive and found.verdict == "REGRESSION"
    }
    return (
        f"verdict REGRESSION: the reranker is worse than {' and '.join(sorted(worse))}, so it is not packaged "
        "(to package it anyway, set package.allow_regression: true)"
    )


def _judged_pairs(collection: Collection, split: str) -> Iterator[tuple[str, str]]:
    for query_id, judgements in collection.qrels(split).items():
        for doc_id in judgements:
            yield collection.queries[query_id], collection.corpus[doc_id].full_text


def _tuned(context: Context) -> Tuned:
    evaluated = context.run.evaluated
    if evaluated.report.tuned is None:
        raise InputError(f"{evaluated.path}: nothing was chosen on dev; delete this folder and evaluate again")
    return evaluated.report.tuned


def _write_manifest(
    context: Context, folder: Path, report: Report, agreement: Mapping[str, float], folded: Calibrator | None
) -> None:
    config, tuned = context.config, _tuned(context)
    training = context.run.last_finetuned(config.mining.rounds).history.training
    write_manifest(
        folder,
        Manifest(
            base_model=config.base_model,
            max_length=training.max_length,
            long_documents=training.long_documents,
            calibrator=Calibrator() if folded else tuned.calibrator,
            folded=folded,
            threshold=tuned.threshold,
            fusion_weight=tuned.fusion_weight,
            first_stage=context.run.mined.choice.kind,
            depth=report.depth,
            passages=_passages(config, report),
            backend=_picked_backend(report),
            verdict={split.split: split.verdict for split in report.splits},
            metrics={
                split.split: {system.name: dict(system.means) for system in split.systems} for split in report.splits
            },
            data_hash=_data_hash(context),
            agreement=agreement,
            versions=versions("crossforge", "torch", "transformers", "sentence-transformers", "onnxruntime"),
            files=file_table(folder),
        ),
    )


def _picked_backend(report: Report) -> str | None:
    """What apps open first. A GPU that was measured on says nothing about their machines."""
    backend = report.budget.shipped.backend if report.budget else None
    return None if backend == "torch" else backend


def _data_hash(context: Context) -> str:
    record = read_record(context.run, COLLECT)
    return record.fingerprint if record else ""


STAGE = Stage(PACKAGE, _depends_on, _run)

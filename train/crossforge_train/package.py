"""Stage `package`: puts model, calibration, proof and card into one folder, and checks it by loading it."""

from __future__ import annotations

import shutil
from collections.abc import Collection as Documents
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import crossforge
from crossforge.documents import Document
from crossforge.errors import CrossforgeError, InputError
from crossforge.files import read_json
from crossforge.manifest import Manifest, file_table, read_manifest, write_manifest
from crossforge.pipeline import FIRST_STAGE_FOLDER, save_first_stage
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.collect import dev_split, read_collected
from crossforge_train.collections.collection import Collection
from crossforge_train.config import Config
from crossforge_train.evaluate import dev_bench
from crossforge_train.evaluation.markdown import markdown
from crossforge_train.evaluation.report import UNJUDGED, Report, read_report
from crossforge_train.evaluation.tables import with_article
from crossforge_train.finetune import HISTORY_FILE, MODEL_FOLDER, trained_with
from crossforge_train.mine import INDEX_FOLDER, fit_first_stage
from crossforge_train.packaging.card import model_card
from crossforge_train.packaging.quantization import pack_int8
from crossforge_train.packaging.verify import measure_agreement
from crossforge_train.stages import Context, Stage, stage_record, versions

_SAMPLE = 16


class RegressionError(CrossforgeError):
    """The reranker is worse than what it would replace, and packaging it was not allowed."""

    exit_status = 2


def _depends_on(config: Config) -> Mapping[str, Any]:
    return {"package": config.package.model_dump(), "versions": versions("crossforge")}


def _run(context: Context) -> None:
    report = read_report(context.stage("evaluate"))
    if report.verdict == "REGRESSION" and not context.config.package.allow_regression:
        raise RegressionError(_why_not(report))
    folder = context.folder
    finetuned = context.stage(context.config.last_finetune)
    shutil.copytree(finetuned / MODEL_FOLDER, folder, dirs_exist_ok=True)
    # What people may have to judge quotes whole documents: it stays in the run.
    shutil.copytree(context.stage("evaluate"), folder / "evaluation", ignore=shutil.ignore_patterns(f"{UNJUDGED}.*"))
    collection = read_collected(context.stage("collect"))
    retriever = TfidfRetriever.load(context.stage("mine") / INDEX_FOLDER)
    if context.config.package.int8:
        context.reporter.note(pack_int8(folder, dev_bench(context, collection, retriever)))
    if context.config.package.include_corpus:
        documents, whole = _first_stage(context, collection, retriever)
        save_first_stage(folder / FIRST_STAGE_FOLDER, documents, whole)
    counts = read_json(context.stage("collect") / "counts.json")
    history = read_json(finetuned / HISTORY_FILE)
    card = model_card(
        context.config, trained_with(finetuned), counts, history, markdown(report), crossforge.__version__
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    with context.reporter.bar("checking the package", 1) as advance:
        agreement = measure_agreement(folder, _sample_pairs(collection, dev_split(context.config.collection)))
        _write_manifest(context, folder, report, agreement)
        read_manifest(folder)
        advance()


def _first_stage(
    context: Context, collection: Collection, retriever: TfidfRetriever
) -> tuple[Documents[Document], TfidfRetriever]:
    """The documents as apps search them, and their index: anew where the run's has queries lifted out of it."""
    if collection.served is None:
        return collection.corpus.values(), retriever
    whole = replace(collection, corpus=collection.served, splits={})
    return whole.corpus.values(), fit_first_stage(whole, context.config.first_stage)


def _why_not(report: Report) -> str:
    worse = {
        with_article(found.baseline)
        for split in report.splits
        for found in split.comparisons
        if found.decisive and found.verdict == "REGRESSION"
    }
    return (
        f"verdict REGRESSION: the reranker is worse than {' and '.join(sorted(worse))}, so it is not packaged "
        "(package.allow_regression: true packages it all the same)"
    )


def _sample_pairs(collection: Collection, split: str) -> list[tuple[str, str]]:
    pairs = (
        (collection.queries[query_id], collection.corpus[doc_id].full_text)
        for query_id, judgements in collection.qrels(split).items()
        for doc_id in judgements
    )
    return list(islice(pairs, _SAMPLE))


def _write_manifest(context: Context, folder: Path, report: Report, agreement: Mapping[str, float]) -> None:
    config, tuned = context.config, report.tuned
    if tuned is None:
        raise InputError(f"{context.stage('evaluate')}: nothing was chosen on dev; evaluate again with --fresh")
    write_manifest(
        folder,
        Manifest(
            base_model=config.base_model,
            max_length=trained_with(context.stage(config.last_finetune)).max_length,
            calibrator=tuned.calibrator,
            threshold=tuned.threshold,
            fusion_weight=tuned.fusion_weight,
            verdict={split.split: split.verdict for split in report.splits},
            metrics={
                split.split: {system.name: dict(system.means) for system in split.systems} for split in report.splits
            },
            data_hash=stage_record(config.folder, "collect")["fingerprint"],
            agreement=agreement,
            versions=versions("crossforge", "torch", "transformers", "sentence-transformers", "onnxruntime"),
            files=file_table(folder),
        ),
    )


STAGE = Stage("package", _depends_on, _run)

"""Stage `evaluate`: chooses fusion weight, calibrator and threshold on dev, then measures the test splits once.

Also a script: `python -m crossforge_train.evaluate CONFIG`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, sha256
from crossforge.loading import BackendName, find_folder, holds_reranker
from crossforge.reranker import Reranker
from crossforge.retrievers.base import Retriever
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import read_run
from crossforge_train.base_model import find_base_model, model_hash
from crossforge_train.collect import dev_split, read_collected, test_splits
from crossforge_train.config import Config
from crossforge_train.evaluation.calibration import fit_calibrator
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.report import make_report, training_curves, write_details, write_report
from crossforge_train.evaluation.split_report import Measured, measure_split
from crossforge_train.evaluation.systems import (
    BASE_MODEL,
    FIRST_STAGE,
    INCUMBENT,
    RERANKER,
    SHIPPED,
    WITHOUT_MODEL,
    Bench,
    System,
    bm25_retriever,
    bm25_systems,
    first_stage_system,
    named_system,
    reranker_system,
    set_up_bench,
    with_fusion,
)
from crossforge_train.evaluation.threshold import choose_threshold
from crossforge_train.evaluation.tuning import Tuned, choose_fusion_weight
from crossforge_train.evaluation.verdict import Contest
from crossforge_train.finetune import MODEL_FOLDER
from crossforge_train.mine import INDEX_FOLDER, run_file
from crossforge_train.stages import Context, Stage, versions


def _depends_on(config: Config) -> Mapping[str, Any]:
    evaluation = config.evaluation
    return {
        "evaluation": evaluation.model_dump(),
        "incumbent": _incumbent_hash(evaluation.incumbent) if evaluation.incumbent else None,
        "test": test_splits(config.collection),
        "seed": config.seed,
        "versions": versions("crossforge", "ir_measures", "onnxruntime"),
    }


def _incumbent_hash(reference: str) -> Mapping[str, str]:
    """What the run file, or the files of the reranker, hash to: a path stays the same when its content changes."""
    if Path(reference).is_file():
        return {reference: sha256(Path(reference))}
    try:
        folder = find_folder(reference)
    except PackageError as error:
        raise InputError(f"evaluation.incumbent: {error} (nor a TREC run file of that name)") from None
    return model_hash(folder)


def _run(context: Context) -> None:
    config, settings = context.config, context.config.evaluation
    collection = read_collected(context.stage("collect"))
    retriever = TfidfRetriever.load(context.stage("mine") / INDEX_FOLDER)

    def bench(split: str, limit: int | None) -> Bench:
        run = read_run(run_file(context.stage("mine"), split))
        return set_up_bench(collection, split, run, retriever, settings, config.seed, context.reporter, limit)

    reranker = Reranker(context.stage(context.config.last_finetune) / MODEL_FOLDER, backend=_fastest_backend())
    tuned = tune(bench(dev_split(config.collection), settings.max_dev_queries), reranker)
    bm25 = bm25_retriever(collection, retriever) if _measures_bm25(config) else None
    splits = []
    for split in test_splits(config.collection):
        measured = _measure(bench(split, settings.max_queries), reranker, tuned, bm25, config)
        write_details(context.folder, measured, collection)
        splits.append(measured.report)
    name = read_json(context.stage("collect") / "counts.json")["name"]
    write_report(
        context.folder,
        make_report(
            config.name, name, settings.metric, settings.depth, reranker.backend_name, splits, tuned,
            training_curves(read_json(context.stage(context.config.last_finetune) / "history.json")),
        ),
    )  # fmt: skip


def _measures_bm25(config: Config) -> bool:
    return config.evaluation.bm25 and config.first_stage.weighting != "bm25"  # then it is the first stage itself


def _measure(bench: Bench, reranker: Reranker, tuned: Tuned, bm25: Retriever | None, config: Config) -> Measured:
    alone = reranker_system(bench, RERANKER, reranker, 0.0)
    shipped = with_fusion(bench, alone, SHIPPED, tuned.fusion_weight)
    others, decisive = _other_systems(bench, bm25, config), [(SHIPPED, FIRST_STAGE)]
    if any(system.name == INCUMBENT for system in others):
        decisive.append((SHIPPED, INCUMBENT))
    systems = [first_stage_system(bench), *others, alone, shipped]
    rivals = [(SHIPPED, system.name) for system in others if system.name in WITHOUT_MODEL]
    return measure_split(bench, systems, Contest(FIRST_STAGE, decisive, rivals), tuned.calibrator, tuned.threshold)


def _other_systems(bench: Bench, bm25: Retriever | None, config: Config) -> list[System]:
    """What else could be shipped: BM25, the base model if it is a reranker, and the reranker that is in use."""
    systems = bm25_systems(bench, bm25) if bm25 else []
    base_model = find_base_model(config.base_model)
    if holds_reranker(base_model):
        systems.append(reranker_system(bench, BASE_MODEL, Reranker(base_model), 0.0))
    if config.evaluation.incumbent:
        systems.append(named_system(bench, INCUMBENT, config.evaluation.incumbent))
    return systems


def _fastest_backend() -> BackendName:
    import torch

    return "torch" if torch.cuda.is_available() else "auto"


def tune(bench: Bench, reranker: Reranker) -> Tuned:
    """Choose on a dev split what ships: fusion weight, calibrator and threshold."""
    metric = bench.config.metric
    alone = reranker_system(bench, RERANKER, reranker, 0.0)
    scored = alone.scored
    if scored is None:
        raise InputError("nothing was scored")
    weight = choose_fusion_weight(scored, bench.run, bench.qrels, metric)
    fitted = fit_calibrator(scored, bench.qrels)
    dev = {
        system.name: mean(measure_rankings([metric], bench.qrels, system.rankings)[metric])
        for system in (first_stage_system(bench), alone, with_fusion(bench, alone, SHIPPED, weight))
    }
    threshold = choose_threshold(scored, bench.qrels, fitted.calibrator)
    return Tuned(weight, fitted.calibrator, fitted.log_losses, threshold, dev)


STAGE = Stage("evaluate", _depends_on, _run)


if __name__ == "__main__":
    from crossforge_train.cli import run_script

    run_script("evaluate")

"""Stage `evaluate`: chooses fusion weight, calibrator and threshold on dev, then measures the test splits once.

Also a script: `python -m crossforge_train.evaluate CONFIG`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.backends.choice import BackendName
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, sha256
from crossforge.loading import find_folder, holds_reranker
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import read_run
from crossforge_train.base_model import find_base_model, model_hash
from crossforge_train.collect import dev_split, read_collected, test_splits
from crossforge_train.collections.collection import Collection, judged_by_people
from crossforge_train.config import Config
from crossforge_train.evaluation.calibration import fit_calibrator
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.report import make_report, training_curves, write_details, write_report
from crossforge_train.evaluation.shipped import measure_shipped
from crossforge_train.evaluation.systems import (
    BASE_MODEL,
    INCUMBENT,
    RERANKER,
    SHIPPED,
    Bench,
    System,
    bm25_retriever,
    bm25_systems,
    first_stage_system,
    opened,
    opened_system,
    reranker_system,
    set_up_bench,
    with_fusion,
)
from crossforge_train.evaluation.threshold import choose_threshold
from crossforge_train.evaluation.tuning import Tuned, choose_fusion_weight
from crossforge_train.finetune import HISTORY_FILE, MODEL_FOLDER
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
    reranker = Reranker(context.stage(config.last_finetune) / MODEL_FOLDER, backend=backend_for(settings.backend))
    tuned = tune(dev_bench(context, collection, retriever), reranker)
    bm25 = bm25_retriever(collection, retriever) if _measures_bm25(config) else None
    rivals = _rivals(config)
    splits = []
    for split in test_splits(config.collection):
        on = _bench(context, collection, retriever, split, settings.max_queries)
        others = [*(bm25_systems(on, bm25) if bm25 else ()), *_measured(on, rivals)]
        measured = measure_shipped(on, reranker, tuned.fusion_weight, others, tuned.calibrator, tuned.threshold)
        write_details(context.folder, measured, collection)
        splits.append(measured.report)
    name = read_json(context.stage("collect") / "counts.json")["name"]
    write_report(
        context.folder,
        make_report(
            config.name, name, settings.metric, settings.depth, reranker.backend_name, splits, tuned,
            training_curves(read_json(context.stage(config.last_finetune) / HISTORY_FILE)),
        ),
    )  # fmt: skip


def dev_bench(context: Context, collection: Collection, retriever: TfidfRetriever) -> Bench:
    """The bench on which is chosen what ships."""
    config = context.config
    return _bench(context, collection, retriever, dev_split(config.collection), config.evaluation.max_dev_queries)


def _bench(context: Context, collection: Collection, retriever: TfidfRetriever, split: str, limit: int | None) -> Bench:
    config, run = context.config, read_run(run_file(context.stage("mine"), split))
    return set_up_bench(collection, split, run, retriever, config.evaluation, config.seed, context.reporter, limit)


def _measures_bm25(config: Config) -> bool:
    return config.evaluation.bm25 and config.first_stage.weighting != "bm25"  # then it is the first stage itself


def _rivals(config: Config) -> dict[str, Reranker | Path]:
    """What else could be shipped, opened once for all splits: the base model if it ranks, and what is in use."""
    rivals: dict[str, Reranker | Path] = {}
    base_model = find_base_model(config.base_model)
    if holds_reranker(base_model):
        rivals[BASE_MODEL] = Reranker(base_model)
    if config.evaluation.incumbent:
        rivals[INCUMBENT] = opened(config.evaluation.incumbent)
    return rivals


def _measured(bench: Bench, rivals: Mapping[str, Reranker | Path]) -> list[System]:
    """The rivals as they would ship; the base model by itself, whatever its package says."""
    return [
        reranker_system(bench, name, found, 0.0)
        if name == BASE_MODEL and isinstance(found, Reranker)
        else opened_system(bench, name, found)
        for name, found in rivals.items()
    ]


def backend_for(asked: BackendName) -> BackendName:
    """What `evaluation.backend` means on this machine."""
    import torch

    return "torch" if asked == "auto" and torch.cuda.is_available() else asked


def tune(bench: Bench, reranker: Reranker) -> Tuned:
    """Choose on a dev split what ships: fusion weight, calibrator and threshold."""
    metric = bench.config.metric
    alone = reranker_system(bench, RERANKER, reranker, 0.0)
    pseudo = not judged_by_people(bench.collection, bench.split)
    weight = choose_fusion_weight(alone.scored, bench.run, bench.qrels, metric, bench.seed, pseudo=pseudo)
    fitted = fit_calibrator(alone.scored, bench.qrels)
    dev = {
        system.name: mean(measure_rankings([metric], bench.qrels, system.rankings)[metric])
        for system in (first_stage_system(bench), alone, with_fusion(bench, alone, SHIPPED, weight))
    }
    threshold = choose_threshold(alone.scored, bench.qrels, fitted.calibrator)
    return Tuned(weight, fitted.calibrator, fitted.log_losses, threshold, dev)


STAGE = Stage("evaluate", _depends_on, _run)


if __name__ == "__main__":
    from crossforge_train.cli import run_script

    run_script("evaluate")

"""Stage `evaluate`: chooses fusion weight, calibrator and threshold on dev, then measures the test splits once.

Also a script: `python -m crossforge_train.evaluate CONFIG`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.loading import BackendName
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import Run, read_run
from crossforge_train.collect import dev_split, read_collected, test_splits
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.config import Config, EvaluationConfig
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings
from crossforge_train.evaluation.report import Report, write_details, write_report
from crossforge_train.evaluation.scoring import CONSTANT_SPREAD, ScoredQuery, rankings, score_queries, spread_of_scores
from crossforge_train.evaluation.tuning import Tuned, choose_fusion_weight, choose_threshold, fit_calibrator
from crossforge_train.evaluation.verdict import (
    FIRST_STAGE,
    RERANKER,
    SHIPPED,
    SplitResult,
    compare_systems,
    overall_verdict,
)
from crossforge_train.finetune import MODEL_FOLDER
from crossforge_train.mine import INDEX_FOLDER, run_file
from crossforge_train.mining.negatives import drawn_queries
from crossforge_train.reporting import Reporter
from crossforge_train.stages import Context, Stage, versions


@dataclass(frozen=True)
class Task:
    """What is measured: a pipeline on one split of a collection, with the first stage's candidates for it."""

    pipeline: RetrieveAndRerank
    collection: Collection
    split: str
    run: Run


@dataclass(frozen=True)
class Settings:
    """How it is measured.

    Attributes:
        config: depth, measures and level of significance.
        seed: of all draws.
        reporter: shows progress.
        details: folder for runs and values by query; None leaves them out.
    """

    config: EvaluationConfig
    seed: int
    reporter: Reporter
    details: Path | None = None


def measure_split(task: Task, fusion_weight: float, settings: Settings) -> SplitResult:
    """Rerank a test split; compare what ships, and the reranker alone, with the first stage.

    Raises:
        InputError: no query has a relevant document, or the reranker gives everything the same score.
    """
    config, run = settings.config, task.run
    queries, qrels = _drawn(task, config.max_queries, settings.seed)
    scored = _scored(task, queries, settings)
    systems = {
        FIRST_STAGE: {query_id: [found.doc_id for found in run.get(query_id, [])] for query_id in queries},
        RERANKER: rankings(scored, run, 0.0),
        SHIPPED: rankings(scored, run, fusion_weight),
    }
    result, values = compare_systems(task.split, qrels, systems, config, settings.seed)
    if settings.details:
        write_details(settings.details, task.split, systems, values)
    return result


def _depends_on(config: Config) -> Mapping[str, Any]:
    return {
        "evaluation": config.evaluation.model_dump(),
        "test": config.collection.test,
        "seed": config.seed,
        "versions": versions("crossforge", "ir_measures", "onnxruntime"),
    }


def _run(context: Context) -> None:
    config, reporter = context.config, context.reporter
    collection = read_collected(context.stage("collect"))
    mined = context.stage("mine")
    reranker = Reranker(context.stage("finetune") / MODEL_FOLDER, backend=_fastest_backend())
    pipeline = RetrieveAndRerank(
        list(collection.corpus.values()),
        TfidfRetriever.load(mined / INDEX_FOLDER),
        reranker,
        depth=config.evaluation.depth,
        passages=config.evaluation.passages,
    )
    settings = Settings(config.evaluation, config.seed, reporter, context.folder)
    dev = dev_split(config.collection)
    tuned = tune(Task(pipeline, collection, dev, read_run(run_file(mined, dev))), settings)
    weight = tuned.fusion_weight
    splits = [
        measure_split(Task(pipeline, collection, split, read_run(run_file(mined, split))), weight, settings)
        for split in test_splits(config.collection)
    ]
    verdict = overall_verdict(splits)
    backend = reranker.backend_name
    write_report(
        context.folder, Report(config.evaluation.metric, config.evaluation.depth, backend, verdict, splits, tuned)
    )


def _fastest_backend() -> BackendName:
    import torch

    return "torch" if torch.cuda.is_available() else "auto"


def tune(task: Task, settings: Settings) -> Tuned:
    """Choose on a dev split what ships: fusion weight, calibrator and threshold."""
    metric = settings.config.metric
    queries, qrels = _drawn(task, settings.config.max_dev_queries, settings.seed)
    scored = _scored(task, queries, settings)
    weight = choose_fusion_weight(scored, task.run, qrels, metric)
    calibrator = fit_calibrator(scored, qrels)
    dev = {
        name: mean(measure_rankings([metric], qrels, rankings(scored, task.run, system_weight))[metric])
        for name, system_weight in ((FIRST_STAGE, 1.0), (RERANKER, 0.0), (SHIPPED, weight))
    }
    return Tuned(weight, calibrator, choose_threshold(scored, qrels, calibrator), dev)


def _drawn(task: Task, limit: int | None, seed: int) -> tuple[dict[str, str], Qrels]:
    """Queries of the split that can be measured, at most `limit` of them, and their judgements."""
    judged = judged_queries(task.collection.qrels(task.split))
    if not judged:
        raise InputError(f"split {task.split}: no query has a relevant document, so nothing can be measured")
    query_ids = drawn_queries(list(judged), limit, seed)
    queries = {query_id: task.collection.queries[query_id] for query_id in query_ids}
    return queries, {query_id: judged[query_id] for query_id in query_ids}


def _scored(task: Task, queries: Mapping[str, str], settings: Settings) -> dict[str, ScoredQuery]:
    depth, reporter = settings.config.depth, settings.reporter
    scored = score_queries(task.pipeline, queries, task.run, depth, reporter, f"reranking {task.split}")
    if spread_of_scores(scored) < CONSTANT_SPREAD:
        raise InputError("the reranker gives every document of a query the same score: it ranks nothing")
    return scored


STAGE = Stage("evaluate", _depends_on, _run)


if __name__ == "__main__":
    from crossforge_train.cli import run_script

    run_script("evaluate")

"""Stage `evaluate`: chooses fusion weight, calibrator and threshold on dev, then measures the test splits once.

Also a script: `python -m crossforge_train.evaluate CONFIG`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.calibration import Calibrator
from crossforge.errors import InputError
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import Run, read_run
from crossforge_train.collect import dev_split, read_collected
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.config import Config, EvaluationConfig
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings
from crossforge_train.evaluation.report import Report, write_details, write_report
from crossforge_train.evaluation.scoring import CONSTANT_SPREAD, ScoredQuery, rankings, score_queries, spread_of_scores
from crossforge_train.evaluation.tuning import choose_fusion_weight, choose_threshold, fit_calibrator
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


def measure_split(
    pipeline: RetrieveAndRerank,
    collection: Collection,
    split: str,
    run: Run,
    fusion_weight: float,
    config: EvaluationConfig,
    seed: int,
    reporter: Reporter,
    details: Path | None = None,
) -> SplitResult:
    """Rerank a test split and compare what ships, and the reranker alone, with the first stage.

    Args:
        pipeline: reranks.
        collection: holds queries and judgements.
        split: the split to measure.
        run: the first stage's candidates for it.
        fusion_weight: share of the first stage in what ships.
        config: depth, measures and level of significance.
        seed: of the draws.
        reporter: shows progress.
        details: folder for runs and values by query.
    """
    queries, qrels = _drawn(collection, split, config.max_queries, seed)
    scored = score_queries(pipeline, queries, run, config.depth, reporter, f"reranking {split}")
    _require_spread(scored)
    systems = {
        FIRST_STAGE: {query_id: [found.doc_id for found in run.get(query_id, [])] for query_id in queries},
        RERANKER: rankings(scored, run, 0.0),
        SHIPPED: rankings(scored, run, fusion_weight),
    }
    result, values = compare_systems(split, qrels, systems, config, seed)
    if details:
        write_details(details, split, systems, values)
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
    reranker = Reranker(context.stage("finetune") / MODEL_FOLDER)
    pipeline = RetrieveAndRerank(
        list(collection.corpus.values()),
        TfidfRetriever.load(mined / INDEX_FOLDER),
        reranker,
        depth=config.evaluation.depth,
        passages=config.evaluation.passages,
    )
    weight, calibrator, threshold, dev = _tune(context, pipeline, collection)
    splits = [
        measure_split(
            pipeline,
            collection,
            split,
            read_run(run_file(mined, split)),
            weight,
            config.evaluation,
            config.seed,
            reporter,
            context.folder,
        )  # fmt: skip
        for split in config.collection.test
    ]
    report = Report(
        config.evaluation.metric,
        config.evaluation.depth,
        reranker.backend_name,
        overall_verdict(splits),
        splits,
        weight,
        calibrator,
        threshold,
        dev,
    )
    write_report(context.folder, report)


def _tune(
    context: Context, pipeline: RetrieveAndRerank, collection: Collection
) -> tuple[float, Calibrator, float | None, dict[str, float]]:
    config = context.config
    metric, split = config.evaluation.metric, dev_split(config.collection)
    run = read_run(run_file(context.stage("mine"), split))
    queries, qrels = _drawn(collection, split, config.evaluation.max_dev_queries, config.seed)
    scored = score_queries(pipeline, queries, run, config.evaluation.depth, context.reporter, f"reranking {split}")
    _require_spread(scored)
    weight = choose_fusion_weight(scored, run, qrels, metric)
    calibrator = fit_calibrator(scored, qrels)
    threshold = choose_threshold(scored, qrels, calibrator)
    dev = {
        name: mean(measure_rankings([metric], qrels, rankings(scored, run, system_weight))[metric])
        for name, system_weight in ((FIRST_STAGE, 1.0), (RERANKER, 0.0), (SHIPPED, weight))
    }
    return weight, calibrator, threshold, dev


def _drawn(collection: Collection, split: str, limit: int | None, seed: int) -> tuple[dict[str, str], Qrels]:
    """Queries of a split that can be measured, at most `limit` of them, and their judgements."""
    judged = judged_queries(collection.qrels(split))
    if not judged:
        raise InputError(f"split {split}: no query has a relevant document, so nothing can be measured")
    query_ids = drawn_queries(list(judged), limit, seed)
    return {query_id: collection.queries[query_id] for query_id in query_ids}, {
        query_id: judged[query_id] for query_id in query_ids
    }


def _require_spread(scored: Mapping[str, ScoredQuery]) -> None:
    if spread_of_scores(scored) < CONSTANT_SPREAD:
        raise InputError("the reranker gives every document of a query the same score: it ranks nothing")


STAGE = Stage("evaluate", _depends_on, _run)


if __name__ == "__main__":
    from crossforge_train.cli import run_script

    run_script("evaluate")

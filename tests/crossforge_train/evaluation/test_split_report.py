"""The details of a split's report: what is drawn together is measured alike."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossforge.calibration import Calibrator
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.metrics import mean
from crossforge_train.evaluation.split_report import measure_split
from crossforge_train.evaluation.systems import FIRST_STAGE, first_stage_system, reranker_system, set_up_bench
from crossforge_train.evaluation.verdict import Contest
from crossforge_train.reporting import SilentReporter


def test_two_systems_of_one_order_are_one_point_of_quality_against_latency(
    toy_collection: Path, toy_reranker: Any
) -> None:
    collection = read_beir(toy_collection)
    retriever = fit_retriever(collection.corpus.values())
    run = retriever.search(collection.split_queries("test"), 12)
    config = EvaluationConfig(permutations=1000, depths=(4, 8, 12), deep_queries=3, latency_queries=1)
    bench = set_up_bench(collection, "test", run, retriever, 4, config, 0, SilentReporter())
    bench = replace(bench, rivals_depth=8)
    first, subject = first_stage_system(bench), reranker_system(bench, "subject", toy_reranker, 0.0)
    rival = reranker_system(bench.of_rivals, "rival", toy_reranker, 0.0)
    measured = measure_split(
        bench, [first, subject, rival], Contest(FIRST_STAGE, [("subject", FIRST_STAGE)]), Calibrator(), None
    )
    details = measured.report.details
    assert details
    qualities = {(point.system, point.depth): point.quality for point in details.latency}
    assert qualities["rival", 8] == pytest.approx(qualities["subject", 8])
    assert details.depth_curve.queries == 3
    assert qualities["rival", 8] != pytest.approx(mean(measured.values["rival"]["nDCG@10"])), "over all, it is another"

"""What a split's report says of its queries; what is drawn together is measured alike."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossforge import Document
from crossforge.calibration import Calibrator
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.metrics import mean
from crossforge_train.evaluation.split_report import SplitReport, measure_split
from crossforge_train.evaluation.systems import (
    FIRST_STAGE,
    Bench,
    System,
    first_stage_system,
    reranker_system,
    set_up_bench,
)
from crossforge_train.evaluation.verdict import Contest
from crossforge_train.reporting import SilentReporter

TEXTS = {"bread": "bread and yeast in the oven", "boat": "a boat with sails in the wind"}


def bench(asked: dict[str, int], made: dict[str, int], limit: int | None = None) -> Bench:
    """Queries that people asked and pseudo-queries, with the label that each gives to the document `bread`."""
    corpus = {doc_id: Document(doc_id, text) for doc_id, text in TEXTS.items()}
    labels = {**asked, **made}
    splits = {"test": {query_id: {"bread": label} for query_id, label in labels.items()}}
    fields = {query_id: {"pseudo_query": "title"} for query_id in made}
    collection = Collection("any", corpus, dict.fromkeys(labels, "bread or boat"), splits, fields)
    retriever = fit_retriever(corpus.values())
    run = retriever.search(collection.queries, 2)
    config = EvaluationConfig(permutations=1000)
    return set_up_bench(collection, "test", run, retriever, 2, config, 0, SilentReporter(), limit)


def report(on: Bench) -> SplitReport:
    other = System("other", {query_id: ["bread"] for query_id in on.queries})
    contest = Contest(FIRST_STAGE, [("other", FIRST_STAGE)])
    return measure_split(on, [first_stage_system(on), other], contest, Calibrator(), None).report


def test_those_who_judged_the_measured_queries_are_counted() -> None:
    found = report(bench({"left out": 0, "neither": 0, "nor": 0}, {"made": 1, "made too": 1}))
    assert (found.queries, found.left_out) == (2, 3)
    assert (found.judges, found.pseudo) == ({"pseudo-queries": 2}, True)
    drawn = report(bench(dict.fromkeys("abcd", 1), {}, limit=3))
    assert (drawn.queries, drawn.judges, drawn.pseudo) == (3, {"people": 3}, False)


def test_two_systems_of_one_order_are_one_point_of_quality_against_latency(
    toy_collection: Path, toy_reranker: Any
) -> None:
    collection = read_beir(toy_collection)
    retriever = fit_retriever(collection.corpus.values())
    run = retriever.search(collection.split_queries("test"), 12)
    config = EvaluationConfig(permutations=1000, depths=(4, 8, 12), deep_queries=3, latency_queries=1)
    on = set_up_bench(collection, "test", run, retriever, 4, config, 0, SilentReporter())
    on = replace(on, rivals_depth=8)
    first, subject = first_stage_system(on), reranker_system(on, "subject", toy_reranker, 0.0)
    rival = reranker_system(on.of_rivals, "rival", toy_reranker, 0.0)
    measured = measure_split(
        on, [first, subject, rival], Contest(FIRST_STAGE, [("subject", FIRST_STAGE)]), Calibrator(), None
    )
    details = measured.report.details
    assert details
    qualities = {(point.system, point.depth): point.quality for point in details.latency}
    assert qualities["rival", 8] == pytest.approx(qualities["subject", 8])
    assert details.depth_curve.queries == 3
    assert qualities["rival", 8] != pytest.approx(mean(measured.values["rival"]["nDCG@10"])), "over all, it is another"

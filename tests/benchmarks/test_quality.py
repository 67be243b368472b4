"""benchmarks/quality.py: the stock recipe is the documented one, and only what was made from the same is reused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossforge_train.collections.storage import read_folder
from crossforge_train.config.run import Config
from crossforge_train.evaluation.scoring import ScoredQuery
from crossforge_train.run_folder import RunFolder


@pytest.fixture
def quality(script: Any) -> Any:
    return script("quality")


def test_no_negative_is_more_similar_to_the_query_than_its_relevant_document(
    quality: Any, tiny_encoder: Path, toy_collection: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    collection = read_folder(toy_collection)
    rows = [
        {"query": collection.queries[query_id], "document": collection.corpus[doc_id].full_text}
        for query_id, labels in collection.qrels("train").items()
        for doc_id in labels
    ]
    pairs = quality.stock_pairs(str(tiny_encoder), rows)
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    queries, documents = model.encode(pairs["query"]), model.encode(pairs["document"])
    similar = model.similarity_pairwise(queries, documents).tolist()
    nearest = {}
    for query, label, found in zip(pairs["query"], pairs["label"], similar, strict=True):
        if label:
            nearest[query] = min(found, nearest.get(query, 1.0))
    negatives = [row for row in zip(pairs["query"], pairs["label"], similar, strict=True) if not row[1]]
    assert negatives
    assert all(found <= nearest[query] + 1e-5 for query, _, found in negatives)


@pytest.fixture
def work(quality: Any, toy_run: Path, tmp_path: Path) -> Any:
    """The benches of a finished run, as by a config that leaves the depth to it."""
    import yaml

    values = yaml.safe_load((toy_run.parents[1] / "config.yaml").read_text())
    values["evaluation"]["depth"] = "auto"
    return quality._work(Config(**values), tmp_path, (quality.DOCUMENTED_RATE,), with_ours=True)


def test_rankings_are_reused_for_the_same_inputs_alone(quality: Any, work: Any) -> None:
    measured: list[str] = []

    def scored(bench: Any) -> dict[str, ScoredQuery]:
        measured.append(bench.split)
        ids = {query_id: [found.doc_id for found in bench.run[query_id]] for query_id in bench.queries}
        return {key: ScoredQuery(found, *np.zeros((3, len(found)))) for key, found in ids.items()}

    def kept(work: Any, **system: object) -> Any:
        return quality._kept(work, "a system", system, scored)["a system"]

    few = replace(work, test=work.test.drawn(5))
    assert kept(few).keys() == few.test.queries.keys()
    assert kept(work).keys() == work.test.queries.keys()
    assert kept(work) == kept(work)
    assert len(measured) == 4
    for changed in (replace(work, dev=work.dev.drawn(3)), replace(work, test=replace(work.test, depth=7))):
        measured.clear()
        kept(changed)
        assert measured
    measured.clear()
    kept(work, rate=1e-4)
    kept(work, rate=3e-4)
    assert len(measured) == 4


def test_a_stock_model_is_reused_for_the_same_training_alone(
    quality: Any, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[float] = []

    def train(work: Any, rate: float, folder: Path) -> None:
        trained.append(rate)
        quality.write_json(folder / "training.json", {"of": quality._stock_inputs(work, rate)})

    monkeypatch.setattr(quality, "_train_stock", train)
    for _ in range(2):
        quality._stock_model(work, 2e-5)
    assert trained == [2e-5]
    monkeypatch.setattr(quality, "_our_training", lambda _: quality.OurTraining(96, 128, bf16=False))
    quality._stock_model(work, 2e-5)
    assert trained == [2e-5, 2e-5]


def test_all_systems_order_as_many_candidates_as_our_run(quality: Any, work: Any, toy_run: Path) -> None:
    assert work.test.depth == work.dev.depth == RunFolder(toy_run).evaluated.report.depth == 20
    orders = quality._our_orders(work)
    assert {quality.FIRST_STAGE, quality.BI_ENCODER, quality.BI_ENCODER_FUSED, quality.OURS_FUSED} <= orders.keys()


def test_without_ours_the_bi_encoder_is_that_of_a_run(quality: Any, work: Any) -> None:
    orders = quality._untrained_orders(replace(work, with_ours=False))
    evaluated = quality._our_orders(work)
    assert orders[quality.BI_ENCODER] == evaluated[quality.BI_ENCODER]

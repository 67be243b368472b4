"""A proof whose collection holds pairs that people and a machine judged: both orders of its systems are reported."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support import toy_config

from crossforge.files import read_json, write_json
from crossforge_train.collections.agreement import JudgedTwice
from crossforge_train.collections.collection import Collection
from crossforge_train.config.loading import load_config
from crossforge_train.evaluation.systems import RERANKER, SHIPPED
from crossforge_train.labels.agreement import agreement
from crossforge_train.report.files import read_report
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, toy_collection: Path, tiny_encoder: Path, quickly: None) -> Path:
    folder = tmp_path_factory.mktemp("orders")
    config = load_config(
        toy_config(
            folder, toy_collection, tiny_encoder, training={"evaluations": 1, "epochs": 0.5},
            evaluation={"latency_queries": 0, "permutations": 1000},
        )
    )  # fmt: skip
    run_stages(config, stages_until(config, "finetune"), SilentReporter())
    return folder


def judged_twice(collection: Collection, queries: int) -> list[JudgedTwice]:
    """All documents of each query's topic, of which one is relevant, to people and to the machine."""
    found = []
    for query_id, labels in list(collection.qrels("train").items())[:queries]:
        (relevant,) = labels
        topic = relevant.partition("-")[0]
        others = [doc_id for doc_id in collection.corpus if doc_id.startswith(topic) and doc_id != relevant]
        text = collection.queries[query_id]
        found += [JudgedTwice(text, relevant, 1, 3), *(JudgedTwice(text, doc_id, 0, 0) for doc_id in others)]
    return found


@pytest.mark.parametrize("queries", [8, 3])
def test_systems_are_ordered_by_either_kind_of_labels(folder: Path, tmp_path: Path, queries: int) -> None:
    shutil.copytree(folder / "runs", tmp_path / "runs")
    config = load_config(folder / "config.yaml", [f"runs={tmp_path / 'runs'}"])
    run = RunFolder(config.folder)
    pairs = judged_twice(run.collected.collection(), queries)
    write_json(run.collected.path / "collection" / "judged_twice.json", [asdict(pair) for pair in pairs])
    counts = read_json(run.collected.path / "counts.json")
    trust = agreement("the language model x", pairs, 2, 0.3)
    write_json(run.collected.path / "counts.json", {**counts, "agreement": asdict(trust)})
    run_stages(config, stages_until(config, "evaluate"), SilentReporter())
    report, page = read_report(run.evaluated.path), run.evaluated.page.read_text()
    text = (run.evaluated.path / "report.md").read_text()
    assert report.orders is not None
    assert report.orders.queries == queries
    if queries == 8:
        assert report.orders.tau == pytest.approx(1)
        assert len(set(report.orders.people.values())) > 1
        assert {RERANKER, SHIPPED, "first stage"} <= set(report.orders.people)
        assert set(report.orders.people) == {system.name for system in report.splits[0].systems}
        line = f"Labels of people and of the language model x put {len(report.orders.people)} systems into orders that"
        assert line in page and line in text
        assert "nDCG@10 by the model" in page and "nDCG@10 by the model" in text
    else:
        line = "Whether people and the language model x put systems into the same order cannot be said: 3 queries have"
        assert line in page and line in text
        assert "nDCG@10 by the model" not in page
    assert not any(pair.query in text for pair in pairs)


def test_the_pairs_are_kept_with_the_collection(tmp_path: Path, folder: Path) -> None:
    from crossforge_train.collections.storage import load_collection, save_collection

    collection = RunFolder(folder / "runs" / "toy").collected.collection()
    pairs = judged_twice(collection, 2)
    save_collection(tmp_path / "kept", replace(collection, judged_twice=pairs))
    assert load_collection(tmp_path / "kept").judged_twice == pairs
    assert load_collection(folder / "runs" / "toy" / "collect" / "collection").judged_twice == ()

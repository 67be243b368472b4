"""Which dev queries decide, in a new training and in one that goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossforge.documents import Document
from crossforge.files import read_json
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.training.preparation import _dev_queries

QRELS = {f"q{number:03}": {"a": int(number % 3 == 0)} for number in range(120)}  # 40 of them have a relevant document


@pytest.fixture
def task(tmp_path: Path) -> Any:
    collection = Collection("any", {"a": Document("a", "text")}, dict.fromkeys(QRELS, "text"), {"dev": QRELS})
    config = SimpleNamespace(seed=7, collection=SimpleNamespace(dev_split="dev"))
    return SimpleNamespace(
        collection=collection, config=config, files=SimpleNamespace(dev_queries=tmp_path / "dev_queries.json")
    )


def test_queries_without_a_relevant_document_decide_nothing(task: Any) -> None:
    drawn = _dev_queries(task, 30, begun=False)
    assert len(drawn) == 30
    assert judged_queries({query_id: QRELS[query_id] for query_id in drawn}).keys() == set(drawn)


def test_a_training_that_goes_on_keeps_its_queries(task: Any) -> None:
    drawn = _dev_queries(task, 30, begun=False)
    task.config.seed = 8
    assert _dev_queries(task, 30, begun=True) == drawn == read_json(task.files.dev_queries)


def test_one_that_an_earlier_version_began_is_measured_as_before(task: Any) -> None:
    assert _dev_queries(task, 30, begun=True) == seeded_draw(sorted(QRELS), 30, 7)

"""benchmarks/draw_collection.py: a small collection has all that its queries need, and nothing of the test split."""

from __future__ import annotations

from typing import Any

import pytest

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection


@pytest.fixture
def collection() -> Collection:
    corpus = {f"d{number}": Document(f"d{number}", f"text {number}") for number in range(60)}
    queries = {f"q{number}": f"query {number}" for number in range(60)}
    rows = {f"q{number}": {f"d{number}": 1} for number in range(60)}
    keys = list(rows)
    splits = {"train": keys[:40], "test": keys[40:]}
    return Collection("toy", corpus, queries, {name: {key: rows[key] for key in of} for name, of in splits.items()})


def test_a_small_collection_holds_what_is_judged_and_no_test_query(script: Any, collection: Collection) -> None:
    drawn = script("draw_collection").small(collection, train=12, dev=5, documents=20, seed=1)
    assert [len(drawn.qrels(split)) for split in ("train", "dev")] == [12, 5]
    assert len(drawn.corpus) == 20
    assert drawn.qrels("test")
    assert not set(drawn.queries) & set(collection.qrels("test"))


def test_a_dev_split_that_is_there_is_drawn_from(script: Any, collection: Collection) -> None:
    splits = {"train": collection.qrels("train"), "dev": collection.qrels("test")}
    drawn = script("draw_collection").small(collection.with_splits(splits), train=40, dev=10, documents=0, seed=1)
    assert set(drawn.qrels("dev")) <= set(splits["dev"])
    assert len(drawn.corpus) == 50


def test_too_few_queries_are_said(script: Any, collection: Collection) -> None:
    with pytest.raises(InputError, match="11 queries are to be drawn from train, which has 10 left"):
        script("draw_collection").small(collection, train=30, dev=11, documents=20, seed=1)

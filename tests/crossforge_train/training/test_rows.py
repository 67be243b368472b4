"""Training rows: ids in a mapped file, texts looked up when a row is read."""

import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from support import Recorder

from crossforge.backends.torch import TorchBackend
from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.loading import Parts, pair_tokenizer
from crossforge.manifest import Manifest
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.collections.collection import Collection
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import Reporter, SilentReporter
from crossforge_train.training.rows import make_rows

LONG = " ".join(["sail wind"] * 40 + ["bread dough oven"] + ["boat tide"] * 40)
DOCUMENTS = [
    Document("short", "bread oven"),
    Document("titled", "dough", "Baking"),
    Document("long", LONG),
    Document("other", "piano tune"),
]
QUERIES = {"q1": "bread dough", "q2": "piano", "endless": "bread " * 100}


@pytest.fixture
def collection() -> Collection:
    qrels = {"q1": {"long": 2, "short": 1}, "q2": {"other": 1}, "endless": {"short": 1}}
    return Collection("toy", {document.doc_id: document for document in DOCUMENTS}, QUERIES, {"train": qrels})


@pytest.fixture
def pipeline(tiny_encoder: Path) -> RetrieveAndRerank:
    parts = Parts(pair_tokenizer(tiny_encoder, 32), TorchBackend(torch.nn.Identity()), Manifest("tiny", 32))
    return RetrieveAndRerank(DOCUMENTS, TfidfRetriever.fit(DOCUMENTS), Reranker.from_parts(parts))


def rows_of(
    groups: Iterable[Group], collection: Collection, pipeline: RetrieveAndRerank, path: Path, reporter: Reporter
) -> Any:
    return make_rows(groups, collection, "train", pipeline, path=path, reporter=reporter).dataset


GROUPS = [
    Group("q1", ["long", "short", "other"], [2, 1, 0], [1, 2, 3], [0.5, 0.25, -1.0]),
    Group("q2", ["other", "titled"], [1, 0], [1, 0]),
]


def test_a_row_is_what_the_collator_takes(collection: Collection, pipeline: RetrieveAndRerank, tmp_path: Path) -> None:
    rows = rows_of(iter(GROUPS), collection, pipeline, tmp_path / "rows.arrow", SilentReporter())
    first, second = rows[0], rows[1]
    assert len(rows) == 2
    assert first["query"] == "bread dough"
    assert first["documents"][1:] == ["bread oven", "piano tune"]
    assert first["label"] == [2, 1, 0]
    assert first["teacher"] == [0.5, 0.25, -1.0]
    assert first["doc_ids"] == ["long", "short", "other"]
    assert first["positives"] == ["long", "short"]
    assert second["documents"] == ["piano tune", DOCUMENTS[1].full_text]
    assert second["teacher"] == []


@pytest.mark.parametrize(
    ("scores", "mistaken"),
    [((0.5, 0.25, -1.0), 0.0), ((0.5, 0.9, 0.4), 0.0), ((0.5, 0.25, 0.6), 0.5)],  # a lesser grade above is no mistake
)
def test_a_teacher_is_mistaken_where_it_ranks_what_is_not_relevant_first(
    collection: Collection,
    pipeline: RetrieveAndRerank,
    tmp_path: Path,
    scores: tuple[float, ...],
    mistaken: float,
) -> None:
    groups = [replace(GROUPS[0], teacher=scores), replace(GROUPS[1], teacher=[0.3, 0.1])]
    path = tmp_path / "rows.arrow"
    found = make_rows(groups, collection, "train", pipeline, path=path, reporter=SilentReporter())
    assert found.mistaken == mistaken


def test_what_another_query_of_the_same_text_calls_relevant_is_no_negative(
    collection: Collection, pipeline: RetrieveAndRerank, tmp_path: Path
) -> None:
    asked_again = replace(
        collection,
        queries={**QUERIES, "q3": "Bread, dough?"},
        splits={"train": {**collection.qrels("train"), "q3": {"titled": 1, "short": 0}}},
    )
    again = Group("q3", ["titled"], [1], [1])
    rows = rows_of([GROUPS[0], again], asked_again, pipeline, tmp_path / "rows.arrow", SilentReporter())
    assert [row["positives"] for row in rows] == [["long", "short", "titled"], ["titled", "long", "short"]]


def test_of_a_long_document_the_passage_is_read_that_serving_would_read(
    collection: Collection, pipeline: RetrieveAndRerank, tmp_path: Path
) -> None:
    rows = rows_of(GROUPS, collection, pipeline, tmp_path / "rows.arrow", SilentReporter())
    passage = rows[0]["documents"][0]
    assert passage == pipeline.passages("bread dough", [DOCUMENTS[2]])[0][0]
    assert "bread dough oven" in passage
    assert len(passage) < len(LONG)


def test_groups_whose_query_leaves_no_room_are_left_out_and_told_of(
    collection: Collection, pipeline: RetrieveAndRerank, tmp_path: Path
) -> None:
    reporter = Recorder()
    endless = Group("endless", ["short"], [1], [1])
    rows = rows_of([endless, *GROUPS, endless], collection, pipeline, tmp_path / "rows.arrow", reporter)
    assert [row["query"] for row in rows] == ["bread dough", "piano"]
    assert reporter.notes == ["2 groups left out: their query alone fills training.max_length"]
    with pytest.raises(InputError, match="no training query leaves room for a document in 32 tokens"):
        rows_of([endless], collection, pipeline, tmp_path / "rows.arrow", reporter)


def test_every_epoch_reads_every_row_once_in_a_seeded_order(
    collection: Collection, pipeline: RetrieveAndRerank, tmp_path: Path
) -> None:
    from sentence_transformers.base.sampler import DefaultBatchSampler

    groups = [Group("q1", ["short"], [1], [1], [float(number)]) for number in range(50)]
    rows = rows_of(groups, collection, pipeline, tmp_path / "rows.arrow", SilentReporter())

    def epochs(seed: int) -> list[list[float]]:
        generator = torch.Generator().manual_seed(seed)
        order = torch.utils.data.RandomSampler(rows, generator=generator)  # as the trainer makes them
        sampler = DefaultBatchSampler(order, batch_size=8, drop_last=False, generator=generator, seed=seed)
        loader = torch.utils.data.DataLoader(rows, batch_sampler=sampler, collate_fn=lambda batch: batch)
        found = []
        for epoch in range(2):
            sampler.set_epoch(epoch)
            found.append([row["teacher"][0] for batch in loader for row in batch])
        return found

    first, second = epochs(1)
    assert Counter(first) == Counter(second) == Counter(map(float, range(50)))
    assert first != second
    assert epochs(1) == [first, second]
    assert epochs(2)[0] != first


def test_memory_does_not_grow_with_the_groups(
    collection: Collection, pipeline: RetrieveAndRerank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossforge_train.training.rows._BATCH", 200)
    monkeypatch.setattr("crossforge_train.training.rows._MEASURED_ROWS", 5)  # it is the writing that is measured

    def peak(count: int) -> int:
        """Most bytes of Python objects while so many groups become rows, and of Arrow's that they leave behind."""
        groups: Iterator[Group] = (
            Group(
                "q1", [DOCUMENTS[(number + place) % 4].doc_id for place in range(4)], [1] * 4, [1] * 4, [number / 7] * 4
            )
            for number in range(count)
        )
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        rows = rows_of(groups, collection, pipeline, tmp_path / f"{count}.arrow", SilentReporter())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(rows) == count
        return most + pa.total_allocated_bytes() - before

    assert peak(1600) < 1.5 * peak(400)

"""How many tokens a bi-encoder reads: which lengths are measured, on what, and which is taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crossforge.retrievers.choice import fit_retriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.evaluation import encoder_length
from crossforge_train.evaluation.encoder_length import best_length, draw_sample, lengths_that_differ, value_of_length


@pytest.fixture(scope="module")
def collection(toy_collection: Path) -> Collection:
    return read_beir(toy_collection)


@pytest.mark.parametrize(
    ("tokens", "most", "expected"),
    [
        ([200] * 10, 256, [128, 256]),
        ([600] * 10, 512, [128, 256, 512]),
        ([600] * 10, 8192, [128, 256, 512]),  # more would take minutes on a CPU
        ([200] * 10, 512, [128, 512]),  # 256 reads as much as 512
        ([128] * 10, 256, [256]),  # nothing is cut
        ([100] * 99 + [300], 512, [512]),  # too little is cut to matter
        ([100] * 10, 64, [64]),
        ([128] * 10, 128, [128]),
    ],
)
def test_lengths_that_cut_the_same_are_not_measured_twice(tokens: list[int], most: int, expected: list[int]) -> None:
    assert lengths_that_differ(tokens, most) == expected


def test_of_equally_good_lengths_the_shortest_is_taken() -> None:
    assert best_length({128: 0.5, 256: 0.5, 512: 0.4}) == 128
    assert best_length({128: 0.5, 512: 0.51, 256: 0.5}) == 512


def test_the_sample_holds_every_relevant_document_of_its_queries(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_length, "_CANDIDATES", 1)
    monkeypatch.setattr(encoder_length, "_MOST_QUERIES", 7)
    words = fit_retriever(collection.corpus.values())
    sample = draw_sample(collection, collection.qrels("train"), words, 0)
    assert len(sample.judged) == 7
    held = {document.doc_id for document in sample.documents}
    relevant = {doc_id for found in sample.judged.values() for doc_id in positives(found)}
    assert relevant <= held
    assert len(held) <= len(relevant) + 7
    assert sample.judged == draw_sample(collection, collection.qrels("train"), words, 0).judged


def test_a_querys_own_document_counts_for_nothing(collection: Collection) -> None:
    words = fit_retriever(collection.corpus.values())
    sample = draw_sample(collection, collection.qrels("train"), words, 0)
    retriever = fit_retriever(sample.documents)
    plain = value_of_length(sample, retriever, "nDCG@10")
    own = {query_id: positives(found)[0] for query_id, found in sample.judged.items()}
    assert (
        value_of_length(replace(sample, collection=replace(collection, own_documents=own)), retriever, "nDCG@10")
        < plain
    )

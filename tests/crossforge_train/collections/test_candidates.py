"""Candidates of queries that stand in a split several times by their weight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from crossforge.documents import Document
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.run import RunKind
from crossforge.runs import Candidate, write_run
from crossforge_train.collections.candidates import for_copies, retrieve
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import mixed, weighted
from crossforge_train.stages.mine import _known_candidates


@pytest.fixture
def collection() -> Collection:
    """Source a counts twice, source b once."""
    corpus = {key: Document(key, f"text {key}") for key in ("d1", "d2")}
    part = Collection("part", corpus, {"q": "what"}, {"train": {"q": {"d1": 1}}})
    return weighted(mixed({"a": part, "b": part}), "train", {"a": 2, "b": 1}, 0)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """A run by somebody who knows nothing of weights."""
    write_run(tmp_path / "some.trec", {"a/q": found("a/d2", "a/d1"), "b/q": found("b/d1")}, "some")
    return tmp_path / "some.trec"


def found(*doc_ids: str) -> list[Candidate]:
    return [Candidate(doc_id, 9.0 - place) for place, doc_id in enumerate(doc_ids)]


def ids(run: Mapping[str, list[Candidate]]) -> dict[str, list[str]]:
    return {query_id: [one.doc_id for one in candidates] for query_id, candidates in run.items()}


EXPECTED = {"a/q": ["a/d2", "a/d1"], "a/q#2": ["a/d2", "a/d1"], "b/q": ["b/d1"]}


def test_a_run_as_first_stage_has_candidates_for_copies(collection: Collection, run_file: Path) -> None:
    retriever = RunKind.fit(list(collection.corpus.values()), {"runs": str(run_file)})
    assert ids(retrieve(collection, retriever, collection.split_queries("train"), 5)) == EXPECTED


def test_a_run_as_source_has_candidates_for_copies(collection: Collection, run_file: Path) -> None:
    assert ids(_known_candidates(run_file, collection, collection.qrels("train"))) == EXPECTED


def test_a_run_that_knows_copies_is_followed(collection: Collection) -> None:
    run = {"a/q#2": found("a/d1"), "a/q": found("a/d2")}
    assert ids(for_copies(collection, collection.qrels("train"), run)) == {"a/q": ["a/d2"], "a/q#2": ["a/d1"]}


def test_another_text_under_the_id_of_a_copy_is_searched_for(collection: Collection) -> None:
    retriever = fit_retriever(list(collection.corpus.values()))
    run = retrieve(collection, retriever, {"a/q": "d1", "a/q#9": "d2"}, 1)
    assert {query_id: one.doc_id[-2:] for query_id, (one,) in run.items()} == {"a/q": "d1", "a/q#9": "d2"}

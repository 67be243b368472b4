"""A map of query vectors: what it learns from judged queries, and how far dev lets it go."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.embedding.encoder import moved
from crossforge.retrievers.vectors import nearest
from crossforge.runs import Candidate
from crossforge_train.collections.collection import JUDGED_BY, PSEUDO_QUERY, Collection
from crossforge_train.encoders import query_map
from crossforge_train.encoders.query_map import fit_query_map, shrunk
from crossforge_train.evaluation import moving
from crossforge_train.evaluation.moving import Moved, moved_on_dev

DIMENSION, DOCUMENTS = 16, 200

Vectors = NDArray[np.float32]


def unit(vectors: NDArray[Any]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def documents() -> Vectors:
    return unit(np.random.default_rng(0).normal(size=(DOCUMENTS, DIMENSION)))


@pytest.fixture(scope="module")
def turn() -> Vectors:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(DIMENSION, DIMENSION)))[0].astype(np.float32)


@pytest.fixture(autouse=True)
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_map, "_RATE", 0.02)  # these few dimensions are further apart than real ones


def right(queries: Vectors, documents: Vectors) -> float:
    """Share of the queries whose own document is the nearest."""
    return float(((queries @ documents.T).argmax(axis=1) == np.arange(len(queries))).mean())


def test_it_brings_queries_that_are_turned_away_back_to_their_documents(documents: Vectors, turn: Vectors) -> None:
    queries = documents @ turn.T
    found = fit_query_map(queries[:150], documents, [[row] for row in range(150)], 0)
    assert found.dtype == np.float32
    unseen = slice(150, DOCUMENTS)
    assert right(queries[unseen], documents[unseen]) < 0.2
    assert right(moved(queries, found)[unseen], documents[unseen]) > 0.9


def test_it_leaves_queries_that_are_right_where_they_are(documents: Vectors) -> None:
    found = fit_query_map(documents, documents, [[row] for row in range(DOCUMENTS)], 0)
    assert right(moved(documents, found), documents) == 1
    assert np.abs(found - np.eye(DIMENSION)).mean() < 0.1


def test_the_same_seed_gives_the_same_map_and_other_positives_are_no_negatives(documents: Vectors) -> None:
    queries, positives = documents[:10], [[row, row + 10] for row in range(10)]
    first, again = (fit_query_map(queries, documents, positives, 3) for _ in range(2))
    assert (first == again).all()
    everything = fit_query_map(queries, documents[:2], [[0, 1]] * 10, 0)  # nothing is left to be told apart
    assert np.abs(everything - np.eye(DIMENSION)).max() < 1e-6


def test_the_document_that_a_query_is_itself_is_no_negative(documents: Vectors) -> None:
    queries, positives, own = documents[:2], [[1], [0]], {0: [0], 1: [1]}
    alone = fit_query_map(queries, documents[:2], positives, 0, own)  # nothing is left to be told apart
    assert np.abs(alone - np.eye(DIMENSION)).max() < 1e-6
    assert np.abs(fit_query_map(queries, documents[:2], positives, 0) - np.eye(DIMENSION)).max() > 0.01


def test_of_many_documents_a_drawn_own_document_is_no_negative(
    documents: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_map, "_MOST_DOCUMENTS", 20)
    own = {row: [row + 150] for row in range(50)}
    kept, positives, left = query_map._fewer(documents, [[row] for row in range(50)], own, np.random.default_rng(0))
    found = [(row, query) for query, rows in left.items() for row in rows]
    assert 0 < len(found) < 50
    assert all((kept[positives[query][0]] == documents[query]).all() for query in range(50))
    assert all((kept[row] == documents[own[query][0]]).all() for row, query in found)


def test_of_many_documents_the_relevant_ones_stay(
    documents: Vectors, turn: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_map, "_MOST_DOCUMENTS", 20)
    queries = documents @ turn.T
    found = fit_query_map(queries[:150], documents, [[row] for row in range(150)], 0)
    assert right(moved(queries, found)[150:], documents[150:]) > 0.8


def test_a_share_of_the_way(turn: Vectors) -> None:
    assert (shrunk(turn, 0.0) == np.eye(DIMENSION)).all()
    assert shrunk(turn, 1.0) == pytest.approx(turn, abs=1e-6)


class Searcher:
    """As much of a `VectorRetriever` as is asked."""

    def __init__(self, documents: Vectors, queries: Vectors) -> None:
        self.doc_ids = [f"d{row}" for row in range(len(documents))]
        self.vectors = documents
        self.queries = queries

    def search_vectors(self, queries: dict[str, Vectors], k: int) -> dict[str, list[Candidate]]:
        found = nearest(np.array(list(queries.values())), self.vectors, k)
        return {
            key: [Candidate(self.doc_ids[place], 0.0) for place in places]
            for key, (places, _) in zip(queries, found, strict=True)
        }

    def query_vectors(self, queries: list[str]) -> Vectors:
        return self.queries[[int(query) for query in queries]]


def chosen(documents: Vectors, queries: Vectors, dev: range, said: Mapping[str, str] | None = None) -> Moved:
    corpus = {f"d{row}": Document(f"d{row}", f"text {row}") for row in range(DOCUMENTS)}
    qrels = {
        split: {f"q{row}": {f"d{row}": 1} for row in rows} for split, rows in (("train", range(150)), ("dev", dev))
    }
    queries_asked = {f"q{row}": str(row) for row in range(DOCUMENTS)}
    fields = dict.fromkeys(queries_asked, said or {})
    collection = Collection("any", corpus, queries_asked, qrels, query_fields=fields)
    searcher: Any = Searcher(documents, queries)
    return moved_on_dev(searcher, collection, "train", "dev", "nDCG@10", 0)


def test_dev_says_how_far(documents: Vectors, turn: Vectors) -> None:
    away = documents @ turn.T
    share = chosen(documents, away, range(150, DOCUMENTS)).share
    assert share > 0.5
    pseudo, judged = (
        chosen(documents, away, range(150, DOCUMENTS), said) for said in ({PSEUDO_QUERY: "title"}, {JUDGED_BY: "x"})
    )
    assert pseudo.share == pytest.approx(share / 2, abs=0.01)
    assert judged.share == share, "it is people's wording, whoever judged"
    half_away = np.concatenate([away[:150], documents[150:]])  # dev asks where nothing is to be moved
    assert chosen(documents, half_away, range(150, DOCUMENTS)) == Moved(None, 0.0)


def test_a_gain_by_chance_moves_nothing(documents: Vectors, turn: Vectors) -> None:
    away, dev = documents @ turn.T, range(150, 190)
    mixed = np.concatenate([away[:150], documents[150:187], away[187:]])  # three of forty would gain
    assert chosen(documents, mixed, dev) == Moved(None, 0.0)


def test_too_few_dev_queries_move_nothing(documents: Vectors, turn: Vectors) -> None:
    assert chosen(documents, documents @ turn.T, range(150, 160)) == Moved(None, 0.0)


def test_the_map_is_told_which_documents_are_no_negatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document that is the query itself, and what is relevant to another query of the same text."""
    told: list[Mapping[int, list[int]]] = []
    monkeypatch.setattr(moving, "fit_query_map", lambda *given: told.append(given[4]))
    names = ["a", "b", "c"]
    found = Collection(
        "toy",
        {name: Document(name, name) for name in names},
        {"q": "q", "c": "c", "again": "Q?"},
        {"train": {"q": {"a": 1}, "c": {"b": 1}, "again": {"b": 1}}},
        own_documents={"c": "c"},
    )
    retriever: Any = SimpleNamespace(doc_ids=names, vectors=np.eye(3), query_vectors=lambda texts: np.eye(len(texts)))
    moving.learned_map(retriever, found, "train", 0)
    assert told == [{0: [1], 1: [2], 2: [0]}]

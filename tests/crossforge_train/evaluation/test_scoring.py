"""What the proof reads of the candidates is what an app reads, wherever it is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wrapped_engine import PretendedCluster

from crossforge import Reranker, RetrieveAndRerank
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import Run
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.compute.base import Engine
from crossforge_train.evaluation.scoring import score_queries
from crossforge_train.reporting import SilentReporter

DEPTH = 12
TOO_LONG = "bread " * 60


@pytest.fixture(scope="module")
def collection(toy_collection: Path) -> Collection:
    return read_beir(toy_collection)


@pytest.fixture(scope="module")
def pipeline(collection: Collection, tiny_scorer: Path) -> RetrieveAndRerank:
    reranker = Reranker(tiny_scorer.absolute(), max_length=32)  # most documents are cut
    return RetrieveAndRerank(collection.corpus, fit_retriever(collection.corpus.values()), reranker, passages=2)


@pytest.fixture(scope="module")
def queries(collection: Collection) -> dict[str, str]:
    return {**dict(list(collection.queries.items())[:20]), "too long": TOO_LONG, "unknown": "zzz"}


@pytest.fixture(scope="module")
def run(pipeline: RetrieveAndRerank, queries: dict[str, str], collection: Collection) -> Run:
    return fit_retriever(collection.corpus.values()).search(queries, DEPTH + 3)


def scored(pipeline: RetrieveAndRerank, queries: dict[str, str], run: Run, engine: Engine | None = None) -> Any:
    return score_queries(pipeline, queries, run, DEPTH, SilentReporter(), "", engine)


def test_it_is_what_an_app_reads(pipeline: RetrieveAndRerank, queries: dict[str, str], run: Run) -> None:
    found = scored(pipeline, queries, run)
    for query_id, query in queries.items():
        results = {result.doc_id: result for result in pipeline.rerank(query, run[query_id][:DEPTH])}
        one = found[query_id]
        assert set(one.doc_ids) == set(results)
        assert one.logits.tolist() == [results[doc_id].score for doc_id in one.doc_ids]
        wanted = [len(results[doc_id].passage) < len(results[doc_id].document.full_text) or results[doc_id].truncated
                  for doc_id in one.doc_ids]  # fmt: skip
        assert one.cut.tolist() == wanted
        assert one.read == (query_id != "too long")
    assert any(one.cut.any() for one in found.values())
    assert not found["too long"].logits.any()


@pytest.mark.parametrize("engine", ["pretended", pytest.param("cluster", marks=pytest.mark.slow)])
def test_workers_score_the_same(
    pipeline: RetrieveAndRerank, queries: dict[str, str], run: Run, request: pytest.FixtureRequest, engine: str
) -> None:
    shared = PretendedCluster() if engine == "pretended" else request.getfixturevalue(engine)
    here, there = scored(pipeline, queries, run), scored(pipeline, queries, run, shared)
    assert list(there) == list(here)
    for query_id, one in here.items():
        np.testing.assert_allclose(there[query_id].logits, one.logits, atol=1e-5)
        assert there[query_id].doc_ids == one.doc_ids
        assert there[query_id].read == one.read
        assert there[query_id].cut.tolist() == one.cut.tolist()


def test_a_single_worker_is_used(pipeline: RetrieveAndRerank, queries: dict[str, str], run: Run) -> None:
    alone = PretendedCluster(workers=1)
    scored(pipeline, queries, run, alone)
    assert alone.batches == 2

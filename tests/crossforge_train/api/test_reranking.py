"""A whole TREC run in the order of a reranker."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from support import Command, error_line
from wrapped_engine import PretendedCluster

import crossforge_train as ct
from crossforge import Reranker
from crossforge.errors import InputError
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import Candidate, Run, read_run, write_run
from crossforge_train.api import reranking
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.candidates import retrieve


@pytest.fixture(scope="module")
def found(toy_collection: Path) -> Run:
    """What TF-IDF finds for the test queries."""
    collection = read_beir(toy_collection)
    retriever = fit_retriever(collection.corpus.values())
    return retrieve(collection, retriever, collection.split_queries("test"), 12)


@pytest.fixture
def run(tmp_path: Path, found: Run) -> Path:
    write_run(tmp_path / "found.trec", found, "tfidf")
    return tmp_path / "found.trec"


def expected(package: Path, collection: Path, found: Run, depth: int) -> dict[str, list[str]]:
    known, reranker = read_beir(collection), Reranker(package).alone()
    return {
        query_id: [
            one.doc_id
            for one in reranker.rank(known.queries[query_id], [known.corpus[x.doc_id] for x in candidates[:depth]])
        ]
        for query_id, candidates in found.items()
    }


@pytest.mark.parametrize("depth", [None, 5])
def test_every_query_is_in_the_rerankers_order(
    tmp_path: Path, toy_package: Path, toy_collection: Path, found: Run, run: Path, depth: int | None
) -> None:
    done = ct.rerank(toy_package, run, toy_collection, tmp_path / "out.trec", depth=depth)
    written = read_run(done.path)
    orders = {query_id: [one.doc_id for one in candidates] for query_id, candidates in written.items()}
    assert orders == expected(toy_package, toy_collection, found, depth or 12)
    assert (done.queries, done.documents) == (len(written), sum(map(len, written.values())))
    scores = [[one.score for one in candidates] for candidates in written.values()]
    assert all(one == sorted(one, reverse=True) for one in scores)


def test_a_cluster_gives_the_same_order(
    tmp_path: Path, toy_package: Path, toy_collection: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ct.rerank(toy_package, run, toy_collection, tmp_path / "here.trec")
    cluster = PretendedCluster()
    monkeypatch.setattr(reranking, "opened_engine", lambda *_, **__: nullcontext(cluster))
    there = ct.rerank(toy_package, run, toy_collection, tmp_path / "there.trec", compute={"engine": "ray"})
    assert cluster.made["ScorePassages"] > 0
    assert [[one.doc_id for one in candidates] for candidates in read_run(there.path).values()] == [
        [one.doc_id for one in candidates] for candidates in read_run(here.path).values()
    ]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"nobody": [Candidate("d", 1.0)]}, "which is not in the corpus"),
        ({}, "no query in this run"),
    ],
)
def test_a_run_of_something_else_is_refused(
    tmp_path: Path, toy_package: Path, toy_collection: Path, wrong: Run, told: str
) -> None:
    write_run(tmp_path / "wrong.trec", wrong, "tfidf")
    with pytest.raises(InputError, match=told):
        ct.rerank(toy_package, tmp_path / "wrong.trec", toy_collection, tmp_path / "out.trec")


def test_a_query_that_the_collection_does_not_have_is_named(
    tmp_path: Path, toy_package: Path, toy_collection: Path, found: Run, run: Path
) -> None:
    collection = read_beir(toy_collection)
    first, *_ = found
    fewer = replace(collection, queries={key: text for key, text in collection.queries.items() if key != first},
                    splits={"train": collection.splits["train"]})  # fmt: skip
    with pytest.raises(InputError, match=rf"found.trec: query '{first}' is not among the queries of"):
        ct.rerank(toy_package, run, fewer, tmp_path / "out.trec")


def test_what_cannot_be_written_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; name a file for a run$"):
        ct.rerank("nowhere", "no.trec", "nothing", tmp_path)


@pytest.mark.parametrize("depth", [0, -2])
def test_a_depth_that_is_none_is_refused(tmp_path: Path, depth: int) -> None:
    with pytest.raises(InputError, match=f"depth is {depth}; expected a whole number of 1 or more"):
        ct.rerank("nowhere", "no.trec", "nothing", tmp_path / "out.trec", depth=depth)


def test_the_command(tmp_path: Path, toy_package: Path, toy_collection: Path, run: Path, crossforge: Command) -> None:
    out = tmp_path / "out.trec"
    done = crossforge("rerank", toy_package, "--run", run, "--collection", toy_collection, "-o", out, "--quiet")
    assert done.status == 0, done.err
    assert f"{len(read_run(out))} queries reranked" in " ".join(done.out.split())
    assert "--run needs --collection FOLDER and -o FILE" in error_line(crossforge("rerank", toy_package, "--run", run))
    assert "--depth: only with --run" in error_line(crossforge("rerank", toy_package, "query", "--depth", "3"))
    assert "give a QUERY, or --run FILE" in error_line(crossforge("rerank", toy_package))
    both = crossforge("rerank", toy_package, "query", "--run", run, "--collection", toy_collection, "-o", out)
    assert "not with --run" in error_line(both)
    workers = crossforge(
        "rerank", toy_package, "--run", run, "--collection", toy_collection, "-o", out, "--workers", "2"
    )
    assert "--workers: only with --engine ray" in error_line(workers)

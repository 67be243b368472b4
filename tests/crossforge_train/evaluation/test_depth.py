"""How many candidates ship, by what they bring on dev."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crossforge import Document
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import Candidate
from crossforge_train.collections.collection import Collection
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.depth import depth_that_suffices
from crossforge_train.evaluation.scoring import ScoredQuery
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.reporting import SilentReporter

DEEPEST, QUERIES = 60, 40
CORPUS = {f"d{number}": Document(f"d{number}", "bread and oven") for number in range(1, DEEPEST + 1)}

Score = Callable[[int, bool], float]


def bench(rank: int, queries: int = QUERIES, *, pseudo: bool = False) -> Bench:
    """A dev split whose queries have a relevant document at this rank, and another one at the first."""
    asked = {f"q{number}": "bread" for number in range(queries)}
    fields = {query_id: {"pseudo_query": "title"} for query_id in asked} if pseudo else {}
    qrels = {query_id: {"d1": 1, f"d{rank}": 1} for query_id in asked}
    collection = Collection("toy", CORPUS, asked, {"dev": qrels}, fields)
    run = {query_id: [Candidate(doc_id, 1 / n) for n, doc_id in enumerate(CORPUS, 1)] for query_id in asked}
    retriever = fit_retriever(CORPUS.values())
    return set_up_bench(collection, "dev", run, retriever, DEEPEST, EvaluationConfig(), 0, SilentReporter())


def scored(on: Bench, score: Score) -> dict[str, ScoredQuery]:
    """Logits by a document's rank and whether it is relevant."""
    return {
        query_id: ScoredQuery(
            [one.doc_id for one in found],
            np.array([one.score for one in found]),
            np.array([score(n, one.doc_id in on.qrels[query_id]) for n, one in enumerate(found, 1)], dtype=np.float32),
            np.zeros(len(found), dtype=bool),
        )
        for query_id, found in on.run.items()
    }


def sure(_: int, relevant: bool) -> float:
    return float(relevant)


def drowning(rank: int, relevant: bool) -> float:
    """As sure of what is deep as of what is relevant, and surer of it than of what is not deep."""
    return float(relevant) if rank <= 30 else 2.0


def test_a_reranker_that_knows_is_asked_as_deep_as_there_is_something_to_find() -> None:
    for rank, depth in ((2, 20), (20, 20), (21, 30), (45, 50), (60, 60)):
        on = bench(rank)
        assert depth_that_suffices(on, scored(on, sure)) == depth


def test_a_reranker_that_drowns_is_asked_no_deeper_than_it_is_good_at() -> None:
    on = bench(25)
    assert depth_that_suffices(on, scored(on, drowning)) == 30


@pytest.mark.parametrize(("queries", "pseudo"), [(19, False), (QUERIES, True)])
def test_dev_that_cannot_tell_leaves_the_depth(queries: int, pseudo: bool) -> None:
    on = bench(2, queries, pseudo=pseudo)
    assert depth_that_suffices(on, scored(on, sure)) == DEEPEST

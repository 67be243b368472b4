"""The weight of words in a hybrid: which queries choose it, and what holds where too few can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from crossforge import Document
from crossforge.runs import Candidate
from crossforge_train.collections.collection import JUDGED_BY, PSEUDO_QUERY, Collection, Qrels
from crossforge_train.evaluation import combination
from crossforge_train.evaluation.combination import (
    LEAST_QUERIES,
    LEXICAL_WEIGHT,
    choose_combination,
    combined_on_dev,
)

Found = dict[str, list[Candidate]]


class Hybrid:
    """Finds a query's document at the top from the weight on that its text says, and below, second to a worse one.

    With vectors alone, weight 0, the document is as deep as `blind` says.
    """

    def __init__(self, weight: float | None = None, blind: int = 1) -> None:
        self.weight, self.blind = weight, blind
        self.parts = (SimpleNamespace(search=self._search),) * 2

    def _search(self, queries: Mapping[str, str], k: int, **_: Any) -> Found:
        return {query_id: [Candidate("good", 1.0)] for query_id in queries}

    def with_weight(self, weight: float | None) -> Hybrid:
        return Hybrid(weight, self.blind)

    def fused(self, queries: Mapping[str, str], runs: Any, k: int) -> Found:
        assert self.weight is not None
        found = {}
        for query_id, text in queries.items():
            above = 0 if self.weight >= float(text) else 1 if self.weight else self.blind
            order = [f"bad{n}" for n in range(above)] + ["good"]
            found[query_id] = [Candidate(doc_id, -float(rank)) for rank, doc_id in enumerate(order)]
        return found


SIGHTED = Hybrid()


def collection(dev: Mapping[str, float], train: Mapping[str, float]) -> Collection:
    """Queries by split, each with the weight from which it is answered best."""
    names = ("good", "bad0", *(f"bad{n}" for n in range(1, 9)))
    return Collection(
        name="toy",
        corpus={doc_id: Document(doc_id, doc_id) for doc_id in names},
        queries={query_id: str(weight) for split in (dev, train) for query_id, weight in split.items()},
        splits={
            "dev": {query_id: {"good": 1} for query_id in dev},
            "train": {query_id: {"good": 1} for query_id in train},
        },
    )


def asked(prefix: str, weight: float, count: int = LEAST_QUERIES) -> dict[str, float]:
    return {f"{prefix}{n}": weight for n in range(count)}


def chosen(queries: Collection, hybrid: Hybrid = SIGHTED, **by: bool) -> float:
    return choose_combination(hybrid, queries, queries.qrels("dev"), 5, "nDCG@10", 0, **by)  # type: ignore[arg-type]


def weight(queries: Collection, more: Qrels) -> float | None:
    return combined_on_dev(Hybrid(), queries, "dev", more, 5, "nDCG@10", 0).weight  # type: ignore[arg-type]


def test_the_weight_comes_from_judged_queries_unless_they_are_too_few() -> None:
    assert chosen(collection(asked("d", 0.6), {})) == 0.6
    assert chosen(collection(asked("d", 0.6, LEAST_QUERIES - 1), {})) == LEXICAL_WEIGHT


def test_pseudo_queries_choose_half_the_weight() -> None:
    assert chosen(collection(asked("d", 0.6), {}), by_people=False, pseudo=True) == 0.3


@pytest.mark.parametrize(("hybrid", "pseudo"), [(Hybrid(blind=8), True), (SIGHTED, False)])
def test_words_are_kept_up_with_where_vectors_are_blind_or_people_asked(hybrid: Hybrid, pseudo: bool) -> None:
    assert chosen(collection(asked("d", 0.6), {}), hybrid, by_people=False, pseudo=pseudo) == 0.6


def test_other_queries_of_people_choose_as_well() -> None:
    few = collection(asked("d", 0.6, 5), asked("t", 0.6))
    assert weight(few, {}) == LEXICAL_WEIGHT
    assert weight(few, few.qrels("train")) == 0.6


@pytest.mark.parametrize("by_machine", [{PSEUDO_QUERY: "title"}, {JUDGED_BY: "the language model x"}])
def test_they_do_not_where_a_machine_asked_or_judged_dev(by_machine: dict[str, str]) -> None:
    few = collection(asked("d", 0.6, 5), asked("t", 0.6))
    made = replace(few, query_fields=dict.fromkeys(few.qrels("dev"), by_machine))
    assert weight(made, few.qrels("train")) == LEXICAL_WEIGHT


def test_titles_choose_for_people_where_most_of_dev_are_pseudo_queries() -> None:
    asked_of = collection({**asked("d", 0.8), **asked("t", 0.6, 5)}, asked("u", 0.6, LEAST_QUERIES - 5))
    kinds = {"d": "keywords", "t": "title", "u": "title"}
    fields = {query_id: {PSEUDO_QUERY: kinds[query_id[0]]} for query_id in asked_of.queries}
    made = replace(asked_of, query_fields=fields)
    assert weight(made, made.qrels("train")) == 0.6
    assert weight(made, {}) == 0.4  # five titles are too few: half of the best weight for all of dev


def test_the_few_queries_of_people_choose_beside_titles() -> None:
    asked_of = collection({**asked("t", 0.2), **asked("p", 0.8, LEAST_QUERIES - 1)}, {})
    fields = {query_id: {PSEUDO_QUERY: "title"} for query_id in asked("t", 0.2)}
    assert weight(replace(asked_of, query_fields=fields), {}) == 0.8  # which answers both


def test_dev_queries_come_first_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combination, "MOST_QUERIES", LEAST_QUERIES)
    many = collection(asked("d", 0.6), asked("t", 0.2, 500))
    assert weight(many, many.qrels("train")) == 0.6

"""What `crossforge inspect` says of a collection is right."""

from pathlib import Path

import numpy as np
import pytest

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.runs import Candidate
from crossforge_train.collections.collection import Collection
from crossforge_train.evaluation.significance import smallest_detectable
from crossforge_train.inspection.ceiling import Ceiling, ceiling_facts
from crossforge_train.inspection.report import Inspection, collection_facts
from crossforge_train.inspection.texts import Percentiles, SplitFacts, TextFacts, split_facts, text_facts
from crossforge_train.inspection.tokens import token_facts, token_warnings


def made(texts: dict[str, str], queries: dict[str, str], **splits: dict) -> Collection:
    return Collection("small", {key: Document(key, text) for key, text in texts.items()}, queries, splits)


TEXTS = {"a": "one two three", "b": "One, two three!", "c": " ", "d": "four", "e": "five"}
QUERIES = {"q1": "first", "q2": "second", "q3": "FIRST!"}
SPLITS = {"train": {"q1": {"a": 2, "b": 0}, "q2": {"c": 0}}, "test": {"q3": {"a": 1, "d": 3, "e": 1}}}


class FixedRetriever:
    """A first stage that always finds the same."""

    def __init__(self, found: dict[str, list[str]]) -> None:
        self._found = found
        self.asked: list[str] = []

    def search(self, queries: dict[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        self.asked += queries
        return {key: [Candidate(doc_id, 1.0) for doc_id in self._found[key][:k]] for key in queries}


def test_texts_of_documents_are_counted() -> None:
    corpus = made(TEXTS, QUERIES, **SPLITS).corpus
    assert text_facts(corpus) == TextFacts(empty=1, duplicates=1, words=Percentiles(median=1, p95=3, longest=3))


def test_labels_are_counted_for_each_split() -> None:
    found = split_facts(made(TEXTS, QUERIES, **SPLITS))["train"]
    assert found == SplitFacts(queries=2, none_relevant=1, labels={0: 2, 2: 1})
    assert list(found.labels) == [0, 2], "the lowest label first"


def test_the_ceiling_is_what_an_ideal_order_of_the_candidates_reaches() -> None:
    filler = {f"x{number}": f"x {number}" for number in range(12)}
    collection = made({**TEXTS, **filler}, QUERIES, **SPLITS)
    retriever = FixedRetriever({"q1": [*filler, "a"], "q3": ["a", "d", *filler]})
    found = ceiling_facts(collection, retriever, 20, 100, 0)
    assert found["train"].queries == 1, "a query without a relevant document says nothing"
    assert found["train"].ndcg_10 == 0
    assert found["train"].depths == {10: Ceiling(recall=0, ideal_ndcg_10=0), 20: Ceiling(recall=1, ideal_ndcg_10=1)}
    best = 3 + 1 / 1.5849625 + 1 / 2
    assert found["test"].ndcg_10 == pytest.approx((1 + 3 / 1.5849625) / best)
    assert found["test"].depths[20].recall == pytest.approx(2 / 3)
    assert found["test"].depths[20].ideal_ndcg_10 == pytest.approx((3 + 1 / 1.5849625) / best)


def test_fewer_candidates_than_the_measure_reads_do_not_lower_the_first_stage() -> None:
    collection = made({**TEXTS, "x": "x"}, QUERIES, test=SPLITS["test"])
    retriever = FixedRetriever({"q3": ["x", "a", "d", "e"]})
    few, many = (ceiling_facts(collection, retriever, depth, 100, 0)["test"] for depth in (1, 20))
    assert few.ndcg_10 == many.ndcg_10 > 0
    assert few.depths == {1: Ceiling(recall=0, ideal_ndcg_10=0)}


def test_only_so_many_queries_are_searched_and_always_the_same() -> None:
    queries = {f"q{number}": f"what {number}" for number in range(30)}
    collection = made(TEXTS, queries, test={key: {"a": 1} for key in queries})
    first, second = (FixedRetriever({key: ["a"] for key in queries}) for _ in range(2))
    assert ceiling_facts(collection, first, 20, 7, 3)["test"].queries == 7
    assert ceiling_facts(collection, second, 20, 7, 3)["test"].of == 30
    assert first.asked == second.asked


def test_what_the_queries_can_show_is_judged_by_how_two_first_stages_differ() -> None:
    queries = {f"q{number}": f"what {number}" for number in range(40)}
    collection = made(TEXTS, queries, test={key: {"a": 1} for key in queries})
    first = FixedRetriever({key: ["a"] for key in queries})
    half = {key: ["a" if number % 2 else "b"] for number, key in enumerate(queries)}
    found = ceiling_facts(collection, first, 20, 100, 0, rival=FixedRetriever(half))["test"]
    differences = np.array([0.0, 1.0] * 20)
    assert found.detectable == pytest.approx(smallest_detectable(differences, 0.05, 2))
    drawn = ceiling_facts(collection, first, 20, 20, 0, rival=FixedRetriever(half))["test"]
    assert drawn.detectable == pytest.approx(found.detectable, rel=0.15), "of all queries, also where some are searched"
    assert ceiling_facts(collection, first, 20, 100, 0, rival=first)["test"].detectable is None
    assert ceiling_facts(collection, first, 20, 100, 0)["test"].detectable is None


def test_tokens_are_counted_with_the_tokenizer_of_the_base_model(tiny_encoder: Path) -> None:
    texts = {"a": "bread dough oven", "b": "bread " * 40, "c": "日本語 bread"}
    facts = token_facts(made(texts, {"q": "bread dough"}, train={"q": {"a": 1}}), tiny_encoder, 16, 0)
    assert facts.pairs == 3
    assert facts.lengths == Percentiles(median=9, p95=41, longest=45)
    assert facts.share_cut == pytest.approx(1 / 3)
    assert facts.share_unknown == pytest.approx(3 / (3 + 40 + 4 + 2)), "each sign is a token of its own"
    assert len(token_warnings(facts)) == 2


def test_a_tokenizer_that_spells_a_language_out_is_warned_of(tiny_encoder: Path) -> None:
    texts = {"a": "zzq vxw kkj xyz", "b": "qwrtz plmn"}
    facts = token_facts(made(texts, {"q": "bread"}, train={"q": {"a": 1}}), tiny_encoder, 64, 0)
    assert facts.share_unknown == 0
    assert [warning for warning in token_warnings(facts) if "spells this language out" in warning]
    known = token_facts(made({"a": "bread dough"}, {"q": "bread"}, train={"q": {"a": 1}}), tiny_encoder, 64, 0)
    assert token_warnings(known) == []


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json: no such file"):
        token_facts(made(TEXTS, QUERIES, **SPLITS), tmp_path, 64, 0)


def test_leaks_and_empty_documents_are_warned_of() -> None:
    retriever = FixedRetriever({key: ["a"] for key in QUERIES})
    facts = collection_facts(made(TEXTS, QUERIES, **SPLITS), retriever, Inspection(20, 10, None, 64, 0))
    assert facts.warnings == ["empty documents: 1", "queries of train that are also in test: 1"]
    assert facts.tokens is None

"""Metrics against pytrec_eval, and the rule for queries that say nothing."""

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from crossforge.errors import InputError
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings

DOC_IDS = [f"d{number}" for number in range(25)]
# Our name -> pytrec_eval's.
NAMES = {"nDCG@10": "ndcg_cut_10", "AP": "map", "R@10": "recall_10", "P@5": "P_5"}

qrels_strategy = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(st.sampled_from(DOC_IDS), st.integers(0, 3), min_size=1, max_size=8),
    min_size=1,
)
rankings_strategy = st.fixed_dictionaries(
    {query_id: st.lists(st.sampled_from(DOC_IDS), unique=True, min_size=1) for query_id in ("q1", "q2", "q3")}
)


def by_trec_eval(measure: str, qrels: dict, rankings: dict, cut: int | None = None) -> dict[str, float]:
    run = {
        query_id: {doc_id: 100.0 - rank for rank, doc_id in enumerate(found[:cut])}
        for query_id, found in rankings.items()
    }
    found = pytrec_eval.RelevanceEvaluator(qrels, {measure}).evaluate(run)
    return {query_id: next(iter(values.values())) for query_id, values in found.items()}


@given(qrels_strategy, rankings_strategy)
def test_every_measure_agrees_with_trec_eval(qrels: dict, rankings: dict) -> None:
    values = measure_rankings([*NAMES, "RR@10"], qrels, rankings)
    judged = judged_queries(qrels)
    expected = {ours: by_trec_eval(theirs, qrels, rankings) for ours, theirs in NAMES.items()}
    expected["RR@10"] = by_trec_eval("recip_rank", qrels, rankings, cut=10)
    for measure, by_query in values.items():
        assert by_query == pytest.approx({query_id: expected[measure][query_id] for query_id in judged}), measure


def test_ndcg_of_a_small_ranking_is_what_one_works_out_by_hand() -> None:
    values = measure_rankings(["nDCG@10", "RR@10"], {"q": {"a": 2, "b": 1}}, {"q": ["x", "a", "b"]})
    # DCG = 2 / log2(3) + 1 / log2(4), ideal 2 + 1 / log2(3)
    assert values["nDCG@10"]["q"] == pytest.approx((2 / 1.5849625 + 0.5) / (2 + 1 / 1.5849625))
    assert values["RR@10"]["q"] == 0.5


@pytest.mark.parametrize("rankings", [{"q1": ["a"]}, {"q1": ["a"], "q2": []}])
def test_a_query_that_retrieved_nothing_counts_as_zero(rankings: dict) -> None:
    values = measure_rankings(["RR@10"], {"q1": {"a": 1}, "q2": {"a": 1}}, rankings)
    assert values == {"RR@10": {"q1": 1.0, "q2": 0.0}}
    assert mean(values["RR@10"]) == 0.5


def test_queries_without_a_relevant_document_are_left_out() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"a": 0, "b": -1}}
    assert measure_rankings(["P@5"], qrels, {"q1": ["a"], "q2": ["a"]}) == {"P@5": {"q1": pytest.approx(0.2)}}
    assert judged_queries(qrels) == {"q1": {"a": 1}}


def test_rankings_of_queries_without_judgements_change_nothing() -> None:
    assert measure_rankings(["RR@10"], {"q1": {"a": 1}}, {"q1": ["a"], "other": ["a"]}) == {"RR@10": {"q1": 1.0}}


def test_the_order_of_a_long_ranking_decides_whatever_the_ids_are() -> None:
    ids = [f"z{number}" for number in range(1500)]
    for rank in (1, 10, 1400):
        order = [doc_id for doc_id in reversed(ids) if doc_id != "z7"]
        order.insert(rank - 1, "z7")
        assert measure_rankings(["RR"], {"q": {"z7": 1}}, {"q": order})["RR"]["q"] == pytest.approx(1 / rank)


@pytest.mark.parametrize("name", ["nope@10", "nDCG@ten", "", "@10", "nDCG@", "P_5", "__import__('os')"])
def test_an_unknown_measure_is_named_with_examples(name: str) -> None:
    with pytest.raises(InputError, match=r"unknown or incomplete measure .*examples: nDCG@10") as caught:
        measure_rankings([name], {"q": {"a": 1}}, {"q": ["a"]})
    assert "\n" not in str(caught.value)


def test_a_measure_that_lacks_its_cutoff_is_an_input_error() -> None:
    with pytest.raises(InputError, match="'R'"):
        measure_rankings(["R"], {"q": {"a": 1}}, {"q": ["a"]})


@pytest.mark.parametrize("name", ["MRR@10", "NDCG@10", "MAP"])
def test_values_stand_under_the_name_that_was_asked_for(name: str) -> None:
    assert measure_rankings([name], {"q": {"a": 1}}, {"q": ["a"]}) == {name: {"q": 1.0}}


def test_the_mean_over_no_query_is_zero() -> None:
    assert mean({}) == 0.0

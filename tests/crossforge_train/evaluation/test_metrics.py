"""Metrics against pytrec_eval, and the rule for queries that say nothing."""

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from crossforge.errors import InputError
from crossforge.runs import Candidate
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.metrics import as_run, ideal_order, judged_queries, mean, measure_rankings, trec_order

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


# Ties, ties for 32-bit floats only, negative scores and labels, ids that are no ASCII.
scores_strategy = st.one_of(st.sampled_from([1.0, 0.5, 0.5 + 1e-9, 16777216.0, 16777217.0, -3.0]), st.floats(-5, 5))
runs_strategy = st.dictionaries(
    st.sampled_from(["q1", "q2", "q4"]),
    st.dictionaries(st.sampled_from([*DOC_IDS, "é", "Z"]), scores_strategy, min_size=1, max_size=20),
    min_size=1,
)
graded_strategy = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(st.sampled_from([*DOC_IDS, "é"]), st.integers(-1, 3), min_size=1, max_size=8),
    min_size=1,
)
ALL_NAMES = {**NAMES, "RR": "recip_rank", "R@100": "recall_100", "nDCG": "ndcg"}


@given(graded_strategy, runs_strategy)
def test_a_run_is_measured_as_trec_eval_measures_it(qrels: dict, run: dict) -> None:
    # Of the queries that count: of one whose labels are all negative pytrec_eval 0.5 never comes back.
    expected = pytrec_eval.RelevanceEvaluator(judged_queries(qrels), set(ALL_NAMES.values())).evaluate(run)
    candidates = {query_id: [Candidate(*found) for found in scores.items()] for query_id, scores in run.items()}
    values = measure_rankings(list(ALL_NAMES), qrels, trec_order(candidates))
    for ours, theirs in ALL_NAMES.items():
        for query_id, value in values[ours].items():
            assert value == pytest.approx(expected.get(query_id, {}).get(theirs, 0.0), abs=1e-12), ours


def test_judged_is_the_share_of_the_top_that_somebody_judged() -> None:
    values = measure_rankings(["Judged@4"], {"q": {"a": 1, "b": 0}}, {"q": ["x", "b", "y", "a", "z"]})
    assert values == {"Judged@4": {"q": 0.5}}


def test_every_measure_counts_a_query_that_retrieved_nothing_as_zero() -> None:
    qrels, order = {"q": {"a": 1}, "none": {"a": 1}, "empty": {"a": 1}}, {"q": ["x", "a"], "empty": []}
    values = measure_rankings(["Judged@4", "RR", "ERR@4"], qrels, order)
    assert values["Judged@4"] == values["RR"] == {"q": 0.5, "none": 0.0, "empty": 0.0}
    assert measure_rankings(["Judged@4"], qrels, {}) == {"Judged@4": dict.fromkeys(qrels, 0.0)}


@pytest.mark.parametrize("query_ids", [("a", "b"), ("q1", "q2"), ("x-1", "y-1"), ("two words", "é")])
def test_every_measure_takes_any_query_id(query_ids: tuple[str, str]) -> None:
    first, second = query_ids
    values = measure_rankings(["ERR@4"], {first: {"d": 4}, second: {"d": 4}}, {first: ["d"], second: ["x", "d"]})
    assert values == {"ERR@4": {first: pytest.approx(15 / 16, abs=1e-4), second: pytest.approx(15 / 32, abs=1e-4)}}


@pytest.mark.parametrize("judgements", [{"two words": 1}, {"d": 5}])
def test_what_a_measure_refuses_is_one_line(judgements: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"^cannot compute ERR@4: .*spaces.*4 at most.*$"):
        measure_rankings(["ERR@4"], {"q": judgements}, {"q": list(judgements)})


def test_a_measure_that_nothing_here_computes_is_refused_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ir_measures.DefaultPipeline.supports", lambda measure: measure.NAME != "RBP")
    with pytest.raises(ValueError, match=r"measures\n.*'RBP\(p=0\.8\)': nothing that is installed computes it"):
        EvaluationConfig(measures=("nDCG@10", "RBP(p=0.8)"))


@given(graded_strategy, rankings_strategy)
def test_no_order_is_better_than_the_ideal_one(qrels: dict, rankings: dict) -> None:
    ideal = {query_id: ideal_order(qrels.get(query_id, {}), found) for query_id, found in rankings.items()}
    best, found = (measure_rankings(["nDCG@10", "AP"], qrels, order) for order in (ideal, rankings))
    for measure, by_query in found.items():
        assert all(value <= best[measure][query_id] + 1e-12 for query_id, value in by_query.items())


@given(rankings_strategy)
def test_a_run_made_of_rankings_has_their_order(rankings: dict[str, list[str]]) -> None:
    assert trec_order(as_run(rankings)) == rankings

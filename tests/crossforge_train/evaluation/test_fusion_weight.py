"""The fusion weight that is chosen on dev, and the scores that it is chosen from."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.runs import Candidate
from crossforge_train.evaluation.fusion_weight import FUSION_WEIGHTS, choose_fusion_weight
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings, spread_of_scores

DOC_IDS = [f"d{number}" for number in range(12)]


def scored_query(first_stage: list[float], logits: list[float]) -> ScoredQuery:
    return ScoredQuery(
        DOC_IDS[: len(logits)],
        np.array(first_stage, dtype=float),
        np.array(logits, dtype=np.float32),
        np.zeros(len(logits), dtype=bool),
    )


def dev_set(seed: int, reranker_signal: float, first_stage_signal: float, queries: int = 12) -> tuple[dict, dict, dict]:
    """Scores that see the one relevant document more or less clearly."""
    draw = np.random.default_rng(seed)
    scored, run, qrels = {}, {}, {}
    for number in range(queries):
        relevant = int(draw.integers(len(DOC_IDS)))
        signal = np.arange(len(DOC_IDS)) == relevant
        first = draw.normal(size=len(DOC_IDS)) + first_stage_signal * signal
        logits = draw.normal(size=len(DOC_IDS)) + reranker_signal * signal
        order = np.argsort(-first)
        query_id = f"q{number}"
        scored[query_id] = ScoredQuery(
            [DOC_IDS[i] for i in order], first[order], logits[order].astype(np.float32), np.zeros(len(order), bool)
        )
        run[query_id] = [Candidate(DOC_IDS[i], float(first[i])) for i in order]
        qrels[query_id] = {DOC_IDS[relevant]: 1}
    return scored, run, qrels


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(-2, 3), st.floats(-2, 3))
def test_the_chosen_weight_is_the_same_each_time_and_a_share(seed: int, reranker: float, first: float) -> None:
    scored, run, qrels = dev_set(seed, reranker, first)
    chosen = choose_fusion_weight(scored, run, qrels, "nDCG@10", 0)
    assert 0 <= chosen <= 1
    assert chosen == choose_fusion_weight(scored, run, qrels, "nDCG@10", 0)


def test_with_few_queries_the_chosen_weight_is_better_elsewhere_than_the_best_of_those_few() -> None:
    gained = []
    for seed in range(25):
        scored, run, qrels = dev_set(seed, 1.5, 1.5, queries=150)
        few = dict(list(qrels.items())[:8])
        others = {query_id: found for query_id, found in qrels.items() if query_id not in few}

        def quality(weight: float, judged: dict, scored: dict = scored, run: dict = run) -> float:
            ranked = rankings({query_id: scored[query_id] for query_id in judged}, run, weight)
            return mean(measure_rankings(["nDCG@10"], judged, ranked)["nDCG@10"])

        best_of_few = max(FUSION_WEIGHTS, key=lambda weight: quality(weight, few))
        chosen = choose_fusion_weight({query_id: scored[query_id] for query_id in few}, run, few, "nDCG@10", 0)
        gained.append(quality(chosen, others) - quality(best_of_few, others))
    assert np.mean(gained) > 0.005


def test_a_perfect_reranker_ships_alone_and_a_useless_one_not_at_all() -> None:
    scored, run, qrels = dev_set(0, 50.0, 0.0)
    assert choose_fusion_weight(scored, run, qrels, "nDCG@10", 0) == 0.0
    scored, run, qrels = dev_set(0, -50.0, 50.0)
    assert choose_fusion_weight(scored, run, qrels, "nDCG@10", 0) > 0.5


def test_caution_keeps_a_strong_first_stages_order_where_few_queries_cannot_tell() -> None:
    plain, cautious = [], []
    for seed in range(25):
        scored, run, qrels = dev_set(seed, 1.0, 2.5, queries=150)
        few = dict(list(qrels.items())[:10])
        others = {query_id: found for query_id, found in qrels.items() if query_id not in few}

        def gain(weight: float, judged: dict = others, scored: dict = scored, run: dict = run) -> float:
            orders = (rankings({key: scored[key] for key in judged}, run, share) for share in (weight, 1.0))
            shipped, first = (mean(measure_rankings(["nDCG@10"], judged, order)["nDCG@10"]) for order in orders)
            return shipped - first

        drawn = {query_id: scored[query_id] for query_id in few}
        plain.append(gain(choose_fusion_weight(drawn, run, few, "nDCG@10", 0)))
        cautious.append(gain(choose_fusion_weight(drawn, run, few, "nDCG@10", 0, cautious=True)))
    assert min(cautious) > min(plain)
    assert np.mean(cautious) > np.mean(plain)


def test_caution_costs_a_clearly_better_reranker_nothing() -> None:
    scored, run, qrels = dev_set(0, 50.0, 0.0)
    weight = choose_fusion_weight(scored, run, qrels, "nDCG@10", 0, cautious=True)
    assert mean(measure_rankings(["nDCG@10"], qrels, rankings(scored, run, weight))["nDCG@10"]) == 1.0
    one = dict(list(qrels.items())[:1])
    assert choose_fusion_weight(scored, run, one, "nDCG@10", 0, cautious=True) == 0.0, "a single query has no error"


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(-2, 3), st.floats(-2, 3))
def test_on_pseudo_queries_the_first_stage_weighs_at_least_half_of_what_is_best_on_them(
    seed: int, reranker: float, first: float
) -> None:
    scored, run, qrels = dev_set(seed, reranker, first)
    best = choose_fusion_weight(scored, run, qrels, "nDCG@10", 0)
    assert best / 2 - 0.01 <= choose_fusion_weight(scored, run, qrels, "nDCG@10", 0, pseudo=True) <= best + 0.01


def test_on_pseudo_queries_the_first_stage_weighs_as_little_as_keeps_up_with_it() -> None:
    scored, run, qrels = dev_set(3, 1.0, 1.0, queries=300)  # both see about as much

    def quality(weight: float) -> float:
        return mean(measure_rankings(["nDCG@10"], qrels, rankings(scored, run, weight))["nDCG@10"])

    best = choose_fusion_weight(scored, run, qrels, "nDCG@10", 0)
    chosen = choose_fusion_weight(scored, run, qrels, "nDCG@10", 0, pseudo=True)
    assert chosen < 0.8 * best
    assert quality(chosen) > quality(1.0)
    scored, run, qrels = dev_set(3, 0.5, 2.0, queries=300)  # the reranker alone is far behind
    assert quality(choose_fusion_weight(scored, run, qrels, "nDCG@10", 0, pseudo=True)) > quality(1.0) - 0.02


def test_weight_one_is_the_first_stages_order_and_weight_zero_the_rerankers() -> None:
    found = scored_query([0.9, 0.5, 0.5, 0.1], [0.0, 1.0, 3.0, 2.0])
    assert found.ranking(1.0) == ["d0", "d1", "d2", "d3"]
    assert found.ranking(0.0) == ["d2", "d3", "d1", "d0"]


def test_candidates_below_the_rerank_depth_keep_their_place_at_the_end() -> None:
    run = {"q": [Candidate(doc_id, 1 - number / 10) for number, doc_id in enumerate(DOC_IDS[:4])], "none": []}
    found = {"q": scored_query([1.0, 0.9], [0.0, 1.0]), "none": scored_query([], [])}
    assert rankings(found, run, 0.5)["none"] == []
    assert rankings(found, run, 0.0)["q"] == ["d1", "d0", "d2", "d3"]


def test_the_spread_of_scores_is_zero_only_for_a_model_that_ranks_nothing() -> None:
    assert spread_of_scores({"q": scored_query([1, 2], [0.3, 0.3]), "r": scored_query([1], [5.0])}) == 0.0
    assert spread_of_scores({"q": scored_query([1, 2], [1.0, -1.0])}) == 1.0
    assert spread_of_scores({}) == 0.0

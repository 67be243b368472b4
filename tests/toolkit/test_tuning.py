"""What is chosen on dev: fusion weight, calibrator and threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.calibration import Calibrator
from crossforge.runs import Candidate
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings, spread_of_scores
from crossforge_train.evaluation.tuning import choose_fusion_weight, choose_threshold, fit_calibrator

DOC_IDS = [f"d{number}" for number in range(12)]


def scored_query(first_stage: list[float], logits: list[float]) -> ScoredQuery:
    return ScoredQuery(DOC_IDS[: len(logits)], np.array(first_stage, dtype=float), np.array(logits, dtype=np.float32))


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
        scored[query_id] = ScoredQuery([DOC_IDS[i] for i in order], first[order], logits[order].astype(np.float32))
        run[query_id] = [Candidate(DOC_IDS[i], float(first[i])) for i in order]
        qrels[query_id] = {DOC_IDS[relevant]: 1}
    return scored, run, qrels


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(-2, 3), st.floats(-2, 3))
def test_the_chosen_weight_is_never_worse_on_dev_than_either_alone(seed: int, reranker: float, first: float) -> None:
    scored, run, qrels = dev_set(seed, reranker, first)

    def quality(weight: float) -> float:
        return mean(measure_rankings(["nDCG@10"], qrels, rankings(scored, run, weight))["nDCG@10"])

    chosen = quality(choose_fusion_weight(scored, run, qrels, "nDCG@10"))
    assert chosen >= max(quality(0.0), quality(1.0)) - 1e-6


def test_a_perfect_reranker_ships_alone_and_a_useless_one_not_at_all() -> None:
    scored, run, qrels = dev_set(0, 50.0, 0.0)
    assert choose_fusion_weight(scored, run, qrels, "nDCG@10") == 0.0
    scored, run, qrels = dev_set(0, -50.0, 50.0)
    assert choose_fusion_weight(scored, run, qrels, "nDCG@10") > 0.5


def test_weight_one_is_the_first_stages_order_and_weight_zero_the_rerankers() -> None:
    found = scored_query([0.9, 0.5, 0.5, 0.1], [0.0, 1.0, 3.0, 2.0])
    assert found.ranking(1.0) == ["d0", "d1", "d2", "d3"]
    assert found.ranking(0.0) == ["d2", "d3", "d1", "d0"]


def test_candidates_below_the_rerank_depth_keep_their_place_at_the_end() -> None:
    run = {"q": [Candidate(doc_id, 1 - number / 10) for number, doc_id in enumerate(DOC_IDS[:4])], "none": []}
    found = {"q": scored_query([1.0, 0.9], [0.0, 1.0]), "none": scored_query([], [])}
    assert rankings(found, run, 0.5)["none"] == []
    assert rankings(found, run, 0.0)["q"] == ["d1", "d0", "d2", "d3"]


def calibration_data(slope: float, intercept: float, count: int = 20_000) -> tuple[dict, dict]:
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 3, count).astype(np.float32)
    relevant = draw.random(count) < 1 / (1 + np.exp(-(slope * logits + intercept)))
    ids = [f"d{number}" for number in range(count)]
    scored = {"q": ScoredQuery(ids, np.zeros(count), logits)}
    return scored, {"q": {doc_id: int(found) for doc_id, found in zip(ids, relevant, strict=True)}}


def test_the_calibrator_finds_the_true_probabilities() -> None:
    calibrator = fit_calibrator(*calibration_data(0.7, -1.5))
    assert calibrator.slope == pytest.approx(0.7, abs=0.05)
    assert calibrator.intercept == pytest.approx(-1.5, abs=0.1)


def test_the_calibrator_never_changes_the_order() -> None:
    calibrator = fit_calibrator(*calibration_data(0.7, -1.5))
    probabilities = calibrator.probabilities(np.linspace(-20, 20, 200, dtype=np.float32))
    assert (np.diff(probabilities) > 0).all()
    assert 0 < probabilities[0] < probabilities[-1] < 1


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_gives_the_identity_and_no_threshold(label: int) -> None:
    scored, qrels = {"q": scored_query([1, 2, 3], [1, 2, 3])}, {"q": {"d0": label, "d1": label, "d2": label}}
    assert fit_calibrator(scored, qrels) == Calibrator()
    assert choose_threshold(scored, qrels, Calibrator()) is None


def test_documents_without_a_judgement_count_as_not_relevant() -> None:
    scored = {"q": scored_query([1, 2, 3], [5.0, -1.0, -2.0])}
    assert fit_calibrator(scored, {"q": {"d0": 2}}) == fit_calibrator(scored, {"q": {"d0": 1, "d1": 0, "d2": 0}})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=12))
def test_the_threshold_has_the_best_f1_of_all(pairs: list[tuple[int, bool]]) -> None:
    scored = {"q": scored_query([0.0] * len(pairs), [float(logit) for logit, _ in pairs])}
    qrels = {"q": {doc_id: int(found) for doc_id, (_, found) in zip(DOC_IDS, pairs, strict=False)}}
    threshold = choose_threshold(scored, qrels, Calibrator())
    relevant = np.array([found for _, found in pairs])
    if relevant.all() or not relevant.any():
        assert threshold is None
        return
    probabilities = Calibrator().probabilities(np.array([logit for logit, _ in pairs], dtype=np.float32))

    def f1(cut: float) -> float:
        chosen = probabilities >= cut
        return 2 * (chosen & relevant).sum() / (chosen.sum() + relevant.sum())

    assert f1(threshold) == pytest.approx(max(f1(cut) for cut in probabilities))


def test_the_spread_of_scores_is_zero_only_for_a_model_that_ranks_nothing() -> None:
    assert spread_of_scores({"q": scored_query([1, 2], [0.3, 0.3]), "r": scored_query([1], [5.0])}) == 0.0
    assert spread_of_scores({"q": scored_query([1, 2], [1.0, -1.0])}) == 1.0
    assert spread_of_scores({}) == 0.0

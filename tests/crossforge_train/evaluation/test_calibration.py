"""Calibrators and thresholds: fitted on dev, measured on test."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.calibration import Calibrator
from crossforge_train.evaluation import calibration
from crossforge_train.evaluation.calibration import fit_calibrator, fit_isotonic, fit_platt, measure_reliability, pooled
from crossforge_train.evaluation.scoring import ScoredQuery
from crossforge_train.evaluation.threshold import choose_threshold, measure_threshold


def scored_query(logits: list[float]) -> ScoredQuery:
    ids = [f"d{number}" for number in range(len(logits))]
    return ScoredQuery(ids, np.zeros(len(ids)), np.array(logits, dtype=np.float32), np.zeros(len(ids), bool))


def judged(labels: list[bool]) -> dict[str, int]:
    return {f"d{number}": int(label) for number, label in enumerate(labels)}


def drawn(truth: callable, queries: int = 100, candidates: int = 50, seed: int = 0) -> tuple[dict, dict]:
    """Queries whose candidates are relevant with the probability that `truth` gives their logit."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 3, (queries, candidates)).astype(np.float32)
    relevant = draw.random(logits.shape) < truth(logits)
    scored = {f"q{number}": scored_query(row.tolist()) for number, row in enumerate(logits)}
    return scored, {f"q{number}": judged(row.tolist()) for number, row in enumerate(relevant)}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(0.7 * logits - 1.5)))


def steps(logits: np.ndarray) -> np.ndarray:
    """Three levels: no sigmoid is near it."""
    return np.where(logits < -2, 0.02, np.where(logits < 3, 0.5, 0.6))


def test_platt_scaling_finds_the_true_sigmoid() -> None:
    found = fit_platt(*pooled(*drawn(sigmoid, queries=400)))
    assert (found.slope, found.intercept) == (pytest.approx(0.7, abs=0.05), pytest.approx(-1.5, abs=0.1))


def test_isotonic_regression_finds_the_true_steps() -> None:
    found = fit_isotonic(*pooled(*drawn(steps, queries=400)))
    assert found.probabilities(np.array([-5, 0, 6], dtype=np.float32)) == pytest.approx([0.02, 0.5, 0.6], abs=0.08)


@pytest.mark.parametrize(("truth", "queries", "method"), [(sigmoid, 10, "platt"), (steps, 200, "isotonic")])
def test_the_method_with_the_lower_held_out_loss_is_chosen(truth: callable, queries: int, method: str) -> None:
    found = fit_calibrator(*drawn(truth, queries))
    assert found.calibrator.method == method
    assert min(found.log_losses, key=found.log_losses.__getitem__) == method


def test_a_method_that_is_asked_for_is_taken_and_isotonic_regression_has_to_be_clearly_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored, qrels = drawn(steps, 200)
    assert fit_calibrator(scored, qrels, "platt").calibrator == fit_platt(*pooled(scored, qrels))
    assert fit_calibrator(*drawn(sigmoid, 10), "isotonic").calibrator.method == "isotonic"
    losses = fit_calibrator(scored, qrels).log_losses
    monkeypatch.setattr(calibration, "_CLEARLY", 0.99 * losses["isotonic"] / losses["platt"])
    assert fit_calibrator(scored, qrels).calibrator.method == "platt"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-30, 30), st.booleans()), min_size=2, max_size=40))
def test_no_calibrator_is_certain_or_turns_the_order_round(pairs: list[tuple[int, bool]]) -> None:
    logits = np.array([logit for logit, _ in pairs], dtype=np.float32)
    found = fit_isotonic(logits, np.array([label for _, label in pairs]))
    probabilities = found.probabilities(np.linspace(-50, 50, 101, dtype=np.float32))
    assert 0 < probabilities.min() <= probabilities.max() < 1
    assert (np.diff(probabilities) >= 0).all()


@pytest.mark.parametrize("label", [False, True])
def test_one_class_alone_gives_the_identity_and_no_threshold(label: bool) -> None:
    scored, qrels = {"q": scored_query([1, 2, 3])}, {"q": judged([label] * 3)}
    assert fit_calibrator(scored, qrels).calibrator == Calibrator()
    assert choose_threshold(scored, qrels, Calibrator()) is None


def test_documents_without_a_judgement_count_as_not_relevant() -> None:
    scored = {"q": scored_query([5.0, -1.0, -2.0])}
    assert fit_calibrator(scored, {"q": {"d0": 2}}) == fit_calibrator(scored, {"q": {"d0": 1, "d1": 0, "d2": 0}})


def test_the_calibration_error_of_a_small_case() -> None:
    # Probabilities .25 twice (one relevant) and .75 once (not relevant): |.25 - .5| · 2/3 + |.75 - 0| · 1/3.
    logits = [-np.log(3), -np.log(3), np.log(3)]
    found = measure_reliability({"q": scored_query(logits)}, {"q": judged([True, False, False])}, Calibrator())
    assert found.ece == pytest.approx(0.25 * 2 / 3 + 0.75 / 3)
    assert [(each.documents, each.relevant) for each in found.bins] == [(2, 0.5), (1, 0.0)]
    assert found.log_loss == pytest.approx(-(np.log(0.25) + np.log(0.75) + np.log(0.25)) / 3)
    assert found.base_log_loss == pytest.approx(-(np.log(1 / 3) + 2 * np.log(2 / 3)) / 3)
    assert (sum(found.histogram.relevant), sum(found.histogram.others)) == (1, 2)


LISTS = st.lists(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=5), min_size=1, max_size=6)


@settings(max_examples=60)
@given(LISTS)
def test_no_other_threshold_tells_the_lists_apart_better(lists: list) -> None:
    scored = {f"q{n}": scored_query([logit for logit, _ in found]) for n, found in enumerate(lists)}
    qrels = {f"q{n}": judged([label for _, label in found]) for n, found in enumerate(lists)}
    threshold = choose_threshold(scored, qrels, Calibrator())
    kinds: dict[bool, list[float]] = {True: [], False: []}
    for found in lists:
        logits = np.array([logit for logit, _ in found], dtype=np.float32)
        labels = np.array([label for _, label in found])
        probabilities = Calibrator().probabilities(logits)
        if labels.any():
            kinds[True].append(probabilities.max())
        if not labels.all():
            kinds[False].append(probabilities[~labels].max())
    if not kinds[True] or not kinds[False]:
        assert threshold is None
        return

    def worth(cut: float) -> float:
        return float(np.mean(np.array(kinds[True]) >= cut) + np.mean(np.array(kinds[False]) < cut))

    assert worth(threshold) == pytest.approx(max(worth(cut) for cut in [*kinds[True], *kinds[False]]))


def test_precision_and_recall_of_a_small_case() -> None:
    # q0 with its candidates: best .9; without the relevant one: .3. q1 holds nothing: best .7.
    logits = {probability: float(np.log(probability / (1 - probability))) for probability in (0.9, 0.7, 0.3)}
    scored = {"q0": scored_query([logits[0.9], logits[0.3]]), "q1": scored_query([logits[0.7]])}
    found = measure_threshold(scored, {"q0": {"d0": 1}, "q1": {}}, Calibrator(), 0.5)
    assert (found.precision, found.recall) == (1.0, 0.5)
    assert (found.kept_precision, found.kept_recall) == (0.5, 1.0)
    assert measure_threshold(scored, {"q0": {"d0": 1}}, Calibrator(), 0.0).precision is None


def test_logits_that_say_the_opposite_calibrate_to_the_overall_share() -> None:
    logits, relevant = np.array([-2, -1, 1, 2], dtype=np.float32), np.array([True, False, False, False])
    found = fit_platt(logits, relevant)
    assert found.slope == 0
    assert found.probabilities(logits) == pytest.approx([0.25] * 4)

"""Probabilities and fusion."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.calibration import Calibrator, descending, fuse

SCORES = st.lists(st.integers(-50, 50), min_size=1, max_size=20)


def logits(*values):
    return np.array(values, dtype=np.float32)


def test_the_default_is_the_plain_sigmoid_in_float64():
    values = logits(-2, 0, 0.1)
    found = Calibrator().probabilities(values)
    assert found.dtype == np.float64
    assert found == pytest.approx(1 / (1 + np.exp(-values.astype(np.float64))), rel=1e-15)


def test_slope_and_intercept_are_applied():
    assert Calibrator(2, -1).probabilities(logits(0.5, 1)) == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def test_extreme_logits_give_no_warning_and_no_nan():
    largest = np.finfo(np.float32).max
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Calibrator().probabilities(logits(-largest, -1000, -700, 0, 700, 1000, largest))
    assert found[:2].tolist() == [0, 0]
    assert 0 < found[2] < 1e-300
    assert found[-3:].tolist() == [1, 1, 1]


def test_probabilities_stay_apart_where_float32_would_round_them_to_one():
    low, high = Calibrator().probabilities(logits(20, 25))
    assert low < high < 1


@settings(deadline=None)
@given(SCORES, st.randoms())
def test_weight_zero_gives_the_rerankers_order(scores, draw):
    first_stage = np.array(draw.sample(range(100), len(scores)), dtype=np.float64)
    reranker = logits(*scores)
    assert descending(fuse(reranker, first_stage, 0)).tolist() == descending(reranker).tolist()


@settings(deadline=None)
@given(SCORES, st.randoms())
def test_weight_one_gives_the_first_stages_order(scores, draw):
    reranker = logits(*draw.sample(range(100), len(scores)))
    first_stage = np.array(scores, dtype=np.float64)
    assert descending(fuse(reranker, first_stage, 1)).tolist() == descending(first_stage).tolist()


@pytest.mark.parametrize("constant", [0, 0.1, 1e6])
@pytest.mark.parametrize("weight", [0.25, 0.75])
def test_constant_scores_leave_the_order_to_the_other_stage(constant, weight):
    scores = [3.0, -1.0, 7.0]
    flat = np.full(3, constant)
    assert descending(fuse(logits(*scores), flat, weight)).tolist() == [2, 0, 1]
    assert descending(fuse(logits(*flat), np.array(scores), weight)).tolist() == [2, 0, 1]


def test_fusion_does_not_depend_on_the_scale_of_either_stage():
    reranker, first_stage = logits(3, -1, 7), np.array([0.2, 0.9, 0.1])
    expected = fuse(reranker, first_stage, 0.4)
    assert fuse(reranker * 100 + 5, first_stage / 10 - 3, 0.4) == pytest.approx(expected, abs=1e-6)


def test_a_half_weight_is_the_mean_of_both_standard_scores():
    assert fuse(logits(0, 2), np.array([10.0, 30.0]), 0.5) == pytest.approx([-1, 1])
    assert fuse(logits(0, 2), np.array([30.0, 10.0]), 0.25) == pytest.approx([-0.5, 0.5])


def test_one_candidate_and_none_can_be_fused():
    assert fuse(logits(3), np.array([0.5]), 0.5).tolist() == [0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fuse(logits(), np.array([]), 0.5).tolist() == []


def test_equal_scores_keep_their_input_order():
    assert descending(np.array([1.0, 2.0, 1.0, 2.0])).tolist() == [1, 3, 0, 2]

"""How probably a document is relevant: bounds, order, and what simulated judges were simulated with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from crossforge_train.labels.posterior import error_rates, posteriors, relevant_shares

GRADES = 4
PERFECT = np.array([[1, 0, 0, 0], [0, 0, 0, 1.0]])
counts_of = arrays(np.int64, st.tuples(st.integers(1, 5), st.just(GRADES)), elements=st.integers(0, 50))
judged = st.lists(st.tuples(st.booleans(), st.integers(0, GRADES - 1)), max_size=60)


@given(judged, counts_of)
def test_it_is_a_probability(pairs: list[tuple[bool, int]], counts: NDArray[np.int64]) -> None:
    rates = error_rates(pairs, GRADES)
    assert rates.sum(axis=1) == pytest.approx([1, 1])
    shares = relevant_shares(counts, rates)
    found = posteriors(shares, rates)
    assert shares.shape == counts.shape[:1]
    assert found.shape == counts.shape
    assert ((found >= 0) & (found <= 1) & np.isfinite(found)).all()


@given(arrays(np.float64, (2, GRADES), elements=st.floats(0.01, 1)), st.floats(0, 1))
def test_it_rises_with_the_grade_where_the_likelihood_does(weights: NDArray[np.float64], share: float) -> None:
    order = np.argsort(weights[1] / weights[0])
    rates = weights[:, order] / weights.sum(axis=1, keepdims=True)
    assert (np.diff(posteriors(np.array([share]), rates)[0]) >= -1e-12).all()


@given(st.floats(0.01, 0.99))
def test_a_perfect_judge_leaves_no_doubt(share: float) -> None:
    assert posteriors(np.array([share]), PERFECT)[0, [0, 3]] == pytest.approx([0, 1])


def test_a_perfect_judges_grades_are_the_share() -> None:
    assert relevant_shares(np.array([[75, 0, 0, 25]] * 2), PERFECT) == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.4])
def test_simulated_shares_are_found_again(noise: float) -> None:
    draw, true = np.random.default_rng(0), np.array([0.6, 0.3, 0.1, 0.02])
    wrong = noise / (GRADES - 1)
    rates = np.full((2, GRADES), wrong)
    rates[0, 0] = rates[1, 3] = 1 - noise
    counts = np.array([draw.multinomial(20_000, share * rates[1] + (1 - share) * rates[0]) for share in true])
    assert relevant_shares(counts, rates) == pytest.approx(true, abs=0.02)


def test_a_rank_of_few_pairs_is_near_the_others() -> None:
    rates = np.array([[0.8, 0.2, 0, 0], [0.2, 0, 0, 0.8]])
    shares = relevant_shares(np.array([[70, 10, 0, 20], [0, 0, 0, 0], [1, 0, 0, 0]]), rates)
    assert shares[1] == pytest.approx(0.25, abs=0.02)
    assert 0 < shares[2] < shares[1]

"""How sure a difference is: the randomization test and the bootstrap."""

import tracemalloc
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossforge_train.evaluation.significance import bootstrap_interval, holm_adjusted, randomization_p_value


def exact_p_value(differences: list[float]) -> float:
    observed = abs(sum(differences))
    signs = list(product([-1, 1], repeat=len(differences)))
    return sum(abs(np.dot(sign, differences)) >= observed - 1e-12 for sign in signs) / len(signs)


def test_an_obvious_difference_has_a_small_p_value() -> None:
    differences = np.random.default_rng(0).normal(0.2, 0.1, 100)
    assert randomization_p_value(differences, 5000, 1) == pytest.approx(1 / 5001)


def test_noise_is_significant_about_as_often_as_the_level_says() -> None:
    draws = np.random.default_rng(0)
    p_values = [randomization_p_value(draws.normal(0, 1, 40), 1000, seed) for seed in range(300)]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


@pytest.mark.parametrize(
    "differences", [[0.3, 0.1, 0.2], [0.5, -0.1, 0.2, 0.0, 0.3], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.4, -0.4, 0.1, -0.1]]
)
def test_a_small_case_agrees_with_all_sign_vectors(differences: list[float]) -> None:
    found = randomization_p_value(np.array(differences), 50_000, 3)
    assert found == pytest.approx(exact_p_value(differences), abs=0.01)


def test_the_test_is_two_sided() -> None:
    differences = np.random.default_rng(5).normal(0.05, 0.2, 30)
    assert randomization_p_value(differences, 2000, 1) == randomization_p_value(-differences, 2000, 1)


@pytest.mark.parametrize("differences", [[0.0, 0.0, 0.0], []])
def test_no_difference_at_all_has_p_one(differences: list[float]) -> None:
    assert randomization_p_value(np.array(differences), 1000, 0) == 1.0


def test_the_same_seed_gives_the_same_numbers() -> None:
    values = np.random.default_rng(2).normal(0.02, 0.2, 50)
    assert randomization_p_value(values, 1500, 9) == randomization_p_value(values, 1500, 9)
    assert randomization_p_value(values, 1500, 9) != randomization_p_value(values, 1500, 10)
    assert bootstrap_interval(values, 1500, 9) == bootstrap_interval(values, 1500, 9)
    assert bootstrap_interval(values, 1500, 9) != bootstrap_interval(values, 1500, 10)


def test_the_bootstrap_interval_holds_the_mean_and_has_the_width_of_theory() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, 400)
    low, high = bootstrap_interval(values, 5000, 1)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    values = np.random.default_rng(0).normal(0, 1, 50)
    (low, high), (lower, higher) = (bootstrap_interval(values, 3000, 1, share) for share in (0.8, 0.99))
    assert lower < low < high < higher


def test_intervals_of_degenerate_values() -> None:
    assert bootstrap_interval(np.full(10, 0.3), 1000, 0) == pytest.approx((0.3, 0.3))
    assert bootstrap_interval(np.array([]), 1000, 0) == (0.0, 0.0)


def test_holms_correction_of_a_worked_example() -> None:
    # Sorted: .01 · 4, .02 · 3, .03 · 2 (not below the one before), .04 · 1 (likewise).
    assert holm_adjusted([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm_adjusted([0.4]) == [0.4]
    assert holm_adjusted([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_a_corrected_p_value_is_no_smaller_at_most_one_and_in_the_same_order(p_values: list[float]) -> None:
    found = holm_adjusted(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, found, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [found[position] for position in order] == sorted(found)
    assert holm_adjusted(p_values[::-1]) == found[::-1]


@pytest.mark.parametrize(
    ("most", "compute"),
    [
        (150, lambda values: randomization_p_value(values, 1000, 0)),
        (100, lambda values: bootstrap_interval(values, 1000, 0)),
    ],
)
def test_memory_hardly_grows_with_the_queries(most: int, compute: Callable[[np.ndarray], object]) -> None:
    values = np.random.default_rng(0).normal(0, 0.2, 50_000)
    tracemalloc.start()
    compute(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < most * 2**20


def test_blocks_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(0.02, 0.2, 70)
    whole = randomization_p_value(values, 1500, 9), bootstrap_interval(values, 1500, 9)
    monkeypatch.setattr("crossforge_train.evaluation.significance._CELLS", 800)
    assert (randomization_p_value(values, 1500, 9), bootstrap_interval(values, 1500, 9)) == whole

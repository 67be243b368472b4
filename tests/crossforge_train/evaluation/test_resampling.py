"""Means over resamples of the queries."""

import tracemalloc

import numpy as np
import pytest

from crossforge_train.evaluation.resampling import means_over_resamples


@pytest.mark.parametrize("queries", [1, 2, 37])
def test_the_means_are_those_of_the_drawn_queries(queries: int) -> None:
    values = np.random.default_rng(1).random((4, queries))
    drawn = np.random.default_rng(7).integers(0, queries, size=(500, queries))
    np.testing.assert_array_equal(means_over_resamples(values, 7), values[:, drawn].mean(axis=2).round(6))


def test_memory_does_not_grow_with_the_resamples_of_many_queries() -> None:
    values = np.random.default_rng(1).random((21, 10_000))
    tracemalloc.start()
    means_over_resamples(values, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * 2**20

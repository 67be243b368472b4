"""benchmarks/dev_values.py: a mixture is measured on queries that did not choose its weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossforge_train.evaluation.fusion_weight import FUSION_WEIGHTS


def test_a_mixture_that_is_better_for_every_query_gains_all_of_it(script: Any) -> None:
    values = np.full((len(FUSION_WEIGHTS), 40), 0.5)
    values[10] = 0.7
    found = script("dev_values").fused(values, seed=0)
    assert found.mean == pytest.approx(0.7)
    assert found.gain == pytest.approx(0.2)
    assert found.error == pytest.approx(0)


def test_chance_gains_nothing(script: Any) -> None:
    values = np.random.default_rng(0).random((len(FUSION_WEIGHTS), 2000))
    found = script("dev_values").fused(values, seed=0)
    assert abs(found.gain) < 3 * found.error

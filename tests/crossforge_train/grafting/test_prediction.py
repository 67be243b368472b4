"""Foreseeing what a LayerNorm divides a token by."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu

from crossforge_train.grafting.prediction import Prediction, predict

LARGEST = 6.0


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    return torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def units() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return 3 * torch.randn(20, 8, generator=draw), torch.randn(20, generator=draw) - 6


def values(tokens: Tensor, found: Prediction) -> Tensor:
    linear, unit = (tokens @ reading.weight + reading.bias for reading in (found.linear, found.unit))
    return linear + found.factor * gelu(unit)


def errors(predicted: Tensor, wanted: Tensor) -> Tensor:
    return (predicted / wanted - 1).abs()


def test_the_unit_that_makes_some_tokens_large_is_found(tokens: Tensor, units: tuple[Tensor, Tensor]) -> None:
    weights, biases = units
    large = gelu(tokens @ weights[7] + biases[7])
    wanted = 2 + 0.1 * tokens[:, 0] + large
    found = predict(tokens, wanted, units, LARGEST)
    cosine = torch.cosine_similarity(found.unit.weight, weights[7], dim=0)
    assert cosine > 0.999
    assert errors(values(tokens, found), wanted)[large > 1].mean() < 0.2
    linear = torch.linalg.lstsq(torch.cat([tokens, torch.ones(len(tokens), 1)], 1), wanted).solution
    assert errors(values(tokens, found), wanted).mean() < errors(tokens @ linear[:-1] + linear[-1], wanted).mean() / 2


def test_a_unit_never_exceeds_the_largest_value(tokens: Tensor, units: tuple[Tensor, Tensor]) -> None:
    found = predict(tokens, 2 + (10 * tokens[:, 1]).relu(), (20 * units[0], units[1]), LARGEST)
    assert (tokens @ found.unit.weight + found.unit.bias).max() <= LARGEST + 1e-4


def test_what_is_linear_needs_no_unit(tokens: Tensor, units: tuple[Tensor, Tensor]) -> None:
    wanted = 5 + 0.2 * tokens[:, 2]
    found = predict(tokens, wanted, units, LARGEST)
    assert errors(values(tokens, found), wanted).max() < 0.01


def test_units_that_never_open_do_no_harm(tokens: Tensor) -> None:
    never = torch.zeros(3, 8), torch.full((3,), -50.0)
    found = predict(tokens, 5 + 0.2 * tokens[:, 2], never, LARGEST)
    assert values(tokens, found).isfinite().all()

"""Models with fewer layers: which ones stay, and that what is saved is what was made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import make_modular
from transformers import AutoConfig, AutoModelForSequenceClassification

from crossforge.heads.modular import Modular
from crossforge.heads.one_label import OneLabel
from crossforge_train.models.layers import transformer_layers
from crossforge_train.models.shallower import LEAST, keep_layers, ways_to_keep

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 32, "pad_token_id": 0}
SIZES = {
    "bert": {"num_hidden_layers": 5},
    "distilbert": {"n_layers": 5, "dim": 16, "hidden_dim": 16, "n_heads": 2},
    "modernbert": {"num_hidden_layers": 5, "local_attention": 4},
    "deberta-v2": {"num_hidden_layers": 5},
    "qwen3": {"num_hidden_layers": 5, "head_dim": 8, "num_key_value_heads": 1},
}
IDS = torch.arange(1, 25).view(2, 12)


def model_of(architecture: str) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {**SMALL, **SIZES[architecture], "num_labels": 1, "initializer_range": 0.5}
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(architecture, **sizes)).eval()


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


@given(st.integers(LEAST + 1, 40).flatmap(lambda layers: st.tuples(st.just(layers), st.integers(LEAST, layers - 1))))
def test_every_way_keeps_as_many_as_wanted_in_order_the_first_and_the_last_among_them(sizes: tuple[int, int]) -> None:
    layers, kept = sizes
    ways = ways_to_keep(layers, kept)
    assert len(ways) == len(set(ways)) > 0
    for way in ways:
        assert len(way) == kept
        assert list(way) == sorted(set(way))
        assert (way[0], way[-1]) == (0, layers - 1)


def test_the_ways_of_a_few_sizes() -> None:
    assert ways_to_keep(7, 4) == [(0, 2, 4, 6), (0, 2, 5, 6), (0, 1, 5, 6), (0, 1, 2, 6)]
    assert ways_to_keep(12, 3) == [(0, 6, 11), (0, 10, 11), (0, 1, 11)]
    assert ways_to_keep(3, 2) == [(0, 2)]


@pytest.mark.parametrize("architecture", list(SIZES))
def test_a_saved_model_is_the_one_that_was_made(architecture: str, tmp_path: Path) -> None:
    model = model_of(architecture)
    whole = logits(model)
    layers = list(transformer_layers(model))
    keep_layers(model, (0, 1, 4))
    assert list(transformer_layers(model)) == [layers[0], layers[1], layers[4]]
    made = logits(model)
    assert not torch.allclose(made, whole, atol=1e-3)
    OneLabel.save(model, tmp_path, 16)
    loaded = OneLabel.load(tmp_path).eval()
    assert loaded.config.num_hidden_layers == 3
    torch.testing.assert_close(logits(loaded), made)


def test_modules_behind_an_encoder_stay_as_they_are(tiny_encoder: Path, tmp_path: Path) -> None:
    base = make_modular(tmp_path / "base", tiny_encoder)
    model = Modular.load(base).eval()
    keep_layers(model, (1,))
    made = logits(model)
    (tmp_path / "saved").mkdir()
    Modular.save(model, tmp_path / "saved", 16)
    loaded = Modular.load(tmp_path / "saved").eval()
    assert len(transformer_layers(loaded)) == 1
    torch.testing.assert_close(logits(loaded), made)


def test_settings_of_each_layer_go_with_it() -> None:
    model = model_of("modernbert")
    before = list(model.config.layer_types)
    assert len(set(before)) == 2
    keep_layers(model, (0, 3, 4))
    assert list(model.config.layer_types) == [before[0], before[3], before[4]]

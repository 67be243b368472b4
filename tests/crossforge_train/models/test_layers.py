"""A model's transformer layers are found whatever its architecture calls them."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from crossforge.errors import InputError
from crossforge_train.models.layers import transformer_layers

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 32, "pad_token_id": 0}


@pytest.mark.parametrize(
    ("architecture", "where", "sizes"),
    [
        ("bert", "bert.encoder.layer", {"num_hidden_layers": 3}),
        ("distilbert", "distilbert.transformer.layer", {"n_layers": 3, "dim": 16, "hidden_dim": 16, "n_heads": 2}),
        ("modernbert", "model.layers", {"num_hidden_layers": 3}),
        ("llama", "model.layers", {"num_hidden_layers": 3}),
    ],
)
def test_they_are_the_list_that_is_as_long_as_the_config_says(architecture: str, where: str, sizes: dict) -> None:
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(architecture, **{**SMALL, **sizes}))
    found = transformer_layers(model)
    assert found is model.get_submodule(where)
    assert len(found) == 3


def test_layers_that_share_their_weights_are_no_list() -> None:
    sizes = {**SMALL, "num_hidden_layers": 3, "embedding_size": 16}
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("albert", **sizes))
    with pytest.raises(InputError, match=r"AlbertForSequenceClassification: no list of 3 layers"):
        transformer_layers(model)


def test_of_two_lists_none_is_taken() -> None:
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("bert", **SMALL, num_hidden_layers=2))
    model.twin = torch.nn.ModuleList([torch.nn.Linear(1, 1) for _ in range(2)])
    with pytest.raises(InputError, match="stands alone"):
        transformer_layers(model)

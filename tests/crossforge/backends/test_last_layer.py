"""Scores and gradients stay the same when the last layer is computed for the first token only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from crossforge.backends.last_layer import shorten_last_layer

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}


def classifier(config: Any, attention: str = "eager") -> Any:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    with torch.no_grad():  # as they come, random models score all pairs alike
        for weight in model.parameters():
            weight.normal_(std=0.5)
    return model.eval()


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 50, (3, 9), generator=generator)
    mask = (torch.arange(9) < torch.tensor([[9], [5], [2]])).long()
    return {"input_ids": ids, "attention_mask": mask}


def results(model: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    logits = model(**batch()).logits
    logits.square().sum().backward()
    return {"logits": logits.detach()} | {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", [BertConfig, RobertaConfig, XLMRobertaConfig, CamembertConfig, ElectraConfig])
def test_scores_and_gradients_stay_the_same(kind: Any, attention: str) -> None:
    model = classifier(kind(num_labels=1, **SIZES), attention)
    before = results(model)
    names = list(model.state_dict())
    assert shorten_last_layer(model)
    after = results(model)
    assert list(model.state_dict()) == names
    assert model.base_model(**batch()).last_hidden_state.shape == (3, 1, 16)
    assert before["logits"].std() > 0.01
    for name, value in before.items():
        if value is None:  # a weight that no score depends on
            assert after[name] is None
        else:
            torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-5)


def test_without_a_mask_all_tokens_are_read() -> None:
    model = classifier(BertConfig(num_labels=1, **SIZES), "sdpa")
    ids = batch()["input_ids"]
    before = model(ids).logits
    shorten_last_layer(model)
    torch.testing.assert_close(model(ids).logits, before)


def test_dropout_is_applied_in_training() -> None:
    model = classifier(BertConfig(num_labels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5, **SIZES))
    shorten_last_layer(model)
    model.bert.encoder.layer = model.bert.encoder.layer[-1:]
    assert model(**batch()).logits.equal(model(**batch()).logits)
    model.train()
    assert not model(**batch()).logits.equal(model(**batch()).logits)


def test_other_architectures_are_left_alone() -> None:
    config = DistilBertConfig(vocab_size=50, dim=16, n_layers=2, n_heads=4, hidden_dim=32, num_labels=1)
    model = classifier(config)
    assert not shorten_last_layer(model)
    assert model.base_model(**batch()).last_hidden_state.shape == (3, 9, 16)
    decoder = classifier(BertConfig(num_labels=1, is_decoder=True, **SIZES))
    assert not shorten_last_layer(decoder)

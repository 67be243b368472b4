"""Which parameters are the head: they learn faster, and are trained whole beside adapters."""

import re

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from crossforge_train.training.model import HEAD

TINY = {
    "hidden_size": 16, "dim": 16, "num_hidden_layers": 1, "n_layers": 1, "num_attention_heads": 2, "n_heads": 2,
    "intermediate_size": 16, "hidden_dim": 16, "vocab_size": 50, "num_labels": 1, "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "modules"),
    [
        ("bert", {"bert.pooler.dense", "classifier"}),
        ("distilbert", {"pre_classifier", "classifier"}),
        ("roberta", {"classifier.dense", "classifier.out_proj"}),
        ("electra", {"classifier.dense", "classifier.out_proj"}),
        ("deberta-v2", {"pooler.dense", "classifier"}),
        ("modernbert", {"classifier"}),
    ],
)
def test_the_head_is_what_stands_on_the_encoder(kind: str, modules: set[str]) -> None:
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **TINY))
    named = {name.rpartition(".")[0] for name, _ in model.named_parameters() if re.search(HEAD, name)}
    assert named == modules

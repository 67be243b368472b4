"""What is read from a model's folder before it is opened."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel

from crossforge.loading import token_limit

SIZES = {
    "vocab_size": 32,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 20,
}
OTHERS = {"luke": {"entity_vocab_size": 4, "entity_emb_size": 8}, "xmod": {"default_language": "en_XX"}}


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("bert", 20),
        ("roberta", 18),
        ("xlm-roberta-xl", 18),
        ("camembert", 18),
        ("mpnet", 18),
        ("data2vec-text", 18),
        ("ibert", 18),
        ("luke", 18),
        ("xmod", 18),
    ],
)
def test_the_token_limit_is_what_the_model_reads(tmp_path: Path, kind: str, limit: int) -> None:
    config = AutoConfig.for_model(kind, **SIZES, **OTHERS.get(kind, {}))
    config.save_pretrained(tmp_path)
    assert token_limit(tmp_path) == limit
    model = AutoModel.from_config(config).eval()
    model(input_ids=torch.full((1, limit), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, limit + 1), 5))


def test_a_config_without_a_padding_token_has_the_architectures_own(tmp_path: Path) -> None:
    config = {"model_type": "roberta", "max_position_embeddings": 514}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert token_limit(tmp_path) == 512

"""Tiny random models of each supported architecture: exported, they score as in torch and sentence-transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from quick_runs import quick_runs

from crossforge import Reranker
from crossforge.errors import InputError
from crossforge_train.models.base_model import find_base_model
from crossforge_train.models.export import export_onnx, save_checkpoint
from crossforge_train.packaging.verify import measure_agreement

pytestmark = pytest.mark.slow

PAIRS = [("bread oven", "flour and yeast of the loaf"), ("bread oven", "a boat"), ("sail", "wind " * 20)]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
DECODER = {**SMALL, "num_key_value_heads": 1, "head_dim": 16}
USUAL = ["bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "deberta", "deberta-v2", "modernbert"]
USUAL += ["xlm-roberta-xl", "nomic_bert", "ernie"]
# architecture -> settings by which it is small, where the usual names do not do
ARCHITECTURES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(USUAL, SMALL),
    "albert": {**SMALL, "embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "eurobert": {**SMALL, "num_key_value_heads": 1},
    "rembert": {**SMALL, "input_embedding_size": 16, "output_embedding_size": 16},
    "mobilebert": {
        **SMALL, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16, "hidden_size": 32
    },
    "convbert": {**SMALL, "embedding_size": 16},
    "roformer": {**SMALL, "embedding_size": 16},
    "qwen3": DECODER,
    "llama": DECODER,
    "gemma3_text": DECODER,
}  # fmt: skip


def made(folder: Path, kind: str, tokens: Path, settings: dict[str, Any]) -> Any:
    """A random classifier with one label in a folder, with the tokenizer of the tiny encoder."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(1)
    config = AutoConfig.for_model(
        kind, vocab_size=160, max_position_embeddings=128, num_labels=1, pad_token_id=0, **settings
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokens / name, folder / name)
    return model


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_its_export_agrees_with_torch_and_with_sentence_transformers(
    tmp_path: Path, tiny_encoder: Path, kind: str
) -> None:
    from sentence_transformers import CrossEncoder

    model, saved = made(tmp_path / "base", kind, tiny_encoder, ARCHITECTURES[kind]), tmp_path / "saved"
    save_checkpoint(model, tmp_path / "base", saved, 48)
    with quick_runs():  # torch's present exporter takes ten seconds for each
        export_onnx(model, saved)
    assert measure_agreement(saved)["onnx"] < 1e-5
    reranker = Reranker(saved)
    assert reranker.backend_name == "onnx"
    there = CrossEncoder(str(saved), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert reranker.score_pairs(PAIRS).logits == pytest.approx(there, abs=1e-5)


def test_what_cannot_be_exported_is_told_in_one_line(tmp_path: Path, tiny_encoder: Path) -> None:
    model = made(tmp_path / "base", "longformer", tiny_encoder, {**SMALL, "attention_window": [8, 8]})
    save_checkpoint(model, tmp_path / "base", tmp_path / "saved", 48)
    with pytest.raises(InputError, match="cannot be exported to ONNX") as caught:
        export_onnx(model, tmp_path / "saved")
    assert "\n" not in str(caught.value)


def test_an_encoder_with_a_decoder_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}')
    with pytest.raises(InputError, match="T5ForConditionalGeneration is not an encoder") as caught:
        find_base_model(str(tmp_path))
    assert "\n" not in str(caught.value)

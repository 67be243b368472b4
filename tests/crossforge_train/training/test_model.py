"""The model that training starts from: what of a base model is kept, and what is made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from support import make_backbone, make_causal_bi_encoder

from crossforge import Reranker
from crossforge.errors import PackageError
from crossforge_train.config.training import TrainingConfig
from crossforge_train.models.export import save_checkpoint
from crossforge_train.training.model import load_model

CONFIG = TrainingConfig(max_length=40)


def test_a_decoder_pads_as_its_tokenizer_says(tmp_path: Path) -> None:
    model = load_model(make_backbone(tmp_path / "model"), CONFIG).model
    assert model.config.pad_token_id == 0


def test_a_causal_bi_encoder_gets_a_fresh_head(tmp_path: Path) -> None:
    folder, saved = make_causal_bi_encoder(tmp_path / "model"), tmp_path / "saved"
    model = load_model(folder, CONFIG).model
    assert type(model).__name__ == "Qwen3ForSequenceClassification"
    save_checkpoint(model, folder, saved, 40)
    assert Reranker(saved, backend="torch").score("bread", ["bread oven", "a boat"]).shape == (2,)


def test_a_reranker_that_lacks_weights_is_refused(tiny_scorer: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_scorer, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PackageError, match=r"the weights lack classifier\.weight"):
        load_model(folder, CONFIG)

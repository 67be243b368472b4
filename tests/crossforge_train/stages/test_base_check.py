"""A base model that cannot be trained or exported is told before anything runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support import toy_config

from crossforge.errors import InputError
from crossforge_train.config.loading import load_config
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages


@pytest.fixture
def base_model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_encoder, tmp_path / "base")


def refusal(folder: Path, collection: Path, base_model: Path, *overrides: str) -> str:
    config = load_config(toy_config(folder, collection, base_model), overrides)
    with pytest.raises(InputError) as caught:
        run_stages(config, STAGES, SilentReporter())
    assert not (config.folder / "collect").exists(), "nothing has run"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_base_model_without_a_padding_token(base_model: Path, toy_collection: Path, tmp_path: Path) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (path := base_model / name).is_file():
            settings = json.loads(path.read_text())
            settings.pop("pad_token", None)
            path.write_text(json.dumps(settings))
    assert "its tokenizer has no padding token" in refusal(tmp_path, toy_collection, base_model)


def test_a_base_model_that_cannot_be_exported(
    base_model: Path, toy_collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("pages\nof\ntext")

    monkeypatch.setattr(torch.onnx, "export", fail)
    message = refusal(tmp_path, toy_collection, base_model)
    assert str(base_model) in message
    assert "BertForSequenceClassification cannot be exported to ONNX (RuntimeError)" in message


def test_more_tokens_than_the_base_model_has_positions(
    tiny_encoder: Path, toy_collection: Path, tmp_path: Path
) -> None:
    message = refusal(tmp_path, toy_collection, tiny_encoder, "training.max_length=5000")
    assert message == f"{tiny_encoder}: max_length is 5000, but the model has 96 positions"


@pytest.mark.parametrize("kind", ["dense", "hybrid"])
def test_a_base_model_that_cannot_embed_for_the_first_stage(
    tiny_scorer: Path, toy_collection: Path, tmp_path: Path, kind: str
) -> None:
    message = refusal(tmp_path, toy_collection, tiny_scorer, f"first_stage.kind={kind}")
    assert message.startswith(f"first_stage.kind: {kind} embeds with {tiny_scorer}, which is no bi-encoder; name one")

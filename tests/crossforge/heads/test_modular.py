"""CrossEncoders of sentence-transformers' modules: they score as there, and what cannot be read says why."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from support import make_modular

from crossforge import Reranker
from crossforge.errors import PackageError
from crossforge.heads.choice import head_of, scoring_head
from crossforge.heads.modular import Modular
from crossforge_train.models.base_model import find_base_model, is_bi_encoder, weights_hash
from crossforge_train.models.export import export_onnx, save_checkpoint

PAIRS = [("bread oven", "flour and yeast of the loaf"), ("bread oven", "a boat"), ("sail", "wind " * 20)]


@pytest.fixture(scope="module")
def modular(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    return make_modular(tmp_path_factory.mktemp("modular") / "model", tiny_encoder)


@pytest.fixture
def copied(modular: Path, tmp_path: Path, tiny_encoder: Path) -> Path:
    """A copy that may be spoilt."""
    import shutil

    return Path(shutil.copytree(modular, tmp_path / "model"))


def logits_there(folder: Path) -> np.ndarray:
    return CrossEncoder(str(folder), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", ["cls", "mean"]])
def test_it_scores_as_sentence_transformers_does(tmp_path: Path, tiny_encoder: Path, pooling: Any) -> None:
    folder = make_modular(tmp_path / "model", tiny_encoder, pooling)
    reranker = Reranker(folder)
    assert reranker.backend_name == "torch"
    found = reranker.score_pairs(PAIRS).logits
    assert found == pytest.approx(logits_there(folder), abs=1e-6)
    assert np.ptp(found) > 1e-3, "it tells the pairs apart"


def test_settings_of_earlier_versions_name_one_pooling_each(copied: Path) -> None:
    before = Reranker(copied).score_pairs(PAIRS).logits
    modes = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
    (copied / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    assert Reranker(copied).score_pairs(PAIRS).logits == pytest.approx(before)


def test_it_is_a_base_model_and_no_bi_encoder(modular: Path) -> None:
    assert find_base_model(str(modular)) == modular
    assert not is_bi_encoder(modular)
    assert set(weights_hash(str(modular))) == {
        "model.safetensors", "2_Dense/model.safetensors", "3_LayerNorm/model.safetensors", "4_Dense/model.safetensors"
    }  # fmt: skip


@pytest.mark.usefixtures("quickly")
def test_a_saved_one_is_read_by_sentence_transformers_and_without_torch(
    modular: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = scoring_head(modular).load(modular)
    with torch.no_grad():
        model.score[-1].linear.bias += 0.5
        model.encoder.embeddings.word_embeddings.weight *= 1.1
    assert head_of(model) is Modular
    saved = tmp_path / "saved"
    save_checkpoint(model, modular, saved, 40)
    export_onnx(model, saved)
    expected = logits_there(saved)
    there = CrossEncoder(str(saved), device="cpu")
    assert there.max_seq_length == 40
    assert [type(module).__name__ for module in there] == ["Transformer", "Pooling", "Dense", "LayerNorm", "Dense"]
    assert not np.allclose(expected, logits_there(modular), atol=1e-3)
    before = load_file(saved / "4_Dense" / "model.safetensors")["linear.bias"]
    assert before == load_file(modular / "4_Dense" / "model.safetensors")["linear.bias"] + 0.5
    monkeypatch.setitem(sys.modules, "torch", None)
    reranker = Reranker(saved)
    assert reranker.backend_name == "onnx"
    assert reranker.tokenizer.max_length == 40
    assert reranker.score_pairs(PAIRS).logits == pytest.approx(expected, abs=1e-5)


def edited(name: str, edit: Callable[[Any], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        edit(value)
        (folder / name).write_text(json.dumps(value))

    return spoil


REFUSED = {
    "code": (edited("modules.json", lambda value: value[2].update(type="own_code.Dense")), "which is never run"),
    "module": (
        edited("modules.json", lambda value: value[2].update(type="sentence_transformers.models.CNN")), "the module CNN"
    ),
    "pooling": (edited("1_Pooling/config.json", lambda value: value.update(pooling_mode="weightedmean")), "pools by"),
    "scores": (edited("4_Dense/config.json", lambda value: value.update(out_features=3)), r"\[3\] scores; name a"),
    "no scores": (edited("4_Dense/config.json", lambda value: value.pop("out_features")), "exactly one"),
    "outside": (edited("modules.json", lambda value: value[2].update(path="../2_Dense")), "outside"),
    "prompt": (
        edited("config_sentence_transformers.json", lambda value: value.update(default_prompt_name="query")),
        "remove default_prompt_name from config_sentence_transformers.json",
    ),
    "no list": (lambda folder: (folder / "modules.json").write_text("{}"), "expected a list"),
    "weights": (lambda folder: (folder / "4_Dense" / "model.safetensors").unlink(), "missing"),
    "activation": (
        edited("2_Dense/config.json", lambda value: value.update(activation_function="os.system")), "none of torch"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_says_why_in_one_line(copied: Path, name: str) -> None:
    spoil, why = REFUSED[name]
    spoil(copied)
    with pytest.raises(PackageError, match=why) as caught:
        Reranker(copied)
    assert "\n" not in str(caught.value)

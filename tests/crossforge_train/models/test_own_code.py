"""A base model with code of its own: it is run if the config says so, and aloud; otherwise none of it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import TOY_QUERY, Recorder, toy_config
from transformers import CONFIG_MAPPING, BertConfig, BertForSequenceClassification

from crossforge import Reranker
from crossforge.errors import InputError
from crossforge_train.config.loading import load_config
from crossforge_train.inspection.model import model_facts
from crossforge_train.models.base_model import base_hash, model_hash
from crossforge_train.models.own_code import run_own_code
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

CODE = """import pathlib
from transformers import BertConfig, BertForSequenceClassification
pathlib.Path({ran!r}).touch()
class OwnConfig(BertConfig):
    model_type = {kind!r}
class OwnForSequenceClassification(BertForSequenceClassification):
    config_class = OwnConfig
"""
CLASSES = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnForSequenceClassification"}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where transformers copies a model's code before it imports it."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


def own_model(tiny_encoder: Path, folder: Path, kind: str) -> Path:
    """A cross-encoder whose architecture is in its folder; the code leaves a file `ran` behind."""
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig.from_pretrained(tiny_encoder, num_labels=1)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_encoder / name, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind, "auto_map": CLASSES}))
    (folder / "own.py").write_text(CODE.format(ran=str(folder / "ran"), kind=kind))
    return folder


def test_it_is_run_if_the_config_says_so_and_the_package_needs_none_of_it(
    quickly: None, toy_collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    model = own_model(tiny_encoder, tmp_path / "model", "trustedkind")
    stages, path = "finetune", toy_config(tmp_path, toy_collection, model)
    refused = load_config(path)
    with pytest.raises(InputError, match="set trust_remote_code: true if you trust the files in"):
        run_stages(refused, stages_until(refused, stages), Recorder())
    assert not (model / "ran").exists()
    trusting, told = load_config(path, ["trust_remote_code=true"]), Recorder()
    run_stages(trusting, stages_until(trusting, stages), told)
    assert (model / "ran").exists()
    (said,) = [note for note in told.notes if "own code" in note]
    assert said.startswith(
        "trust_remote_code: running the base model's own code, own.OwnConfig, own.OwnForSequenceClassification in "
    )
    made = RunFolder(trusting.folder).finetuned.model
    before, after = (load_file(folder / "model.safetensors") for folder in (model, made))
    assert before.keys() == after.keys()
    assert any(not torch.equal(weights, after[name]) for name, weights in before.items())
    assert (made / "own.py").is_file(), "whoever loads the checkpoint with transformers needs the code"
    (model / "ran").unlink()
    assert Reranker(made).score(TOY_QUERY, ["bread", "boat"]).shape == (2,)
    assert not (model / "ran").exists()


def test_code_in_another_repository_is_not_fetched(tiny_encoder: Path, tmp_path: Path) -> None:
    model = own_model(tiny_encoder, tmp_path / "model", "distantkind")
    config = json.loads((model / "config.json").read_text())
    config["auto_map"]["AutoConfig"] = "owner/name--own.OwnConfig"
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        InputError, match=r"in another repository \(owner/name--own.OwnConfig\), from which none is run"
    ):
        run_own_code("model", model)
    assert "distantkind" not in CONFIG_MAPPING


@pytest.mark.parametrize("code", ["import no_such_library", "class OwnConfig: pass", "raise SystemError('a\\nb')"])
def test_code_that_cannot_be_used_ends_in_one_line(tiny_encoder: Path, tmp_path: Path, code: str) -> None:
    model = own_model(tiny_encoder, tmp_path / "model", "brokenkind")
    (model / "own.py").write_text(code)
    with pytest.raises(InputError, match=r"^base model here: its own code in .* cannot be used \(") as caught:
        run_own_code("here", model)
    assert "\n" not in str(caught.value)


def test_a_changed_line_of_code_is_another_model(tiny_encoder: Path, tmp_path: Path) -> None:
    model = own_model(tiny_encoder, tmp_path / "model", "changedkind")
    hashed = model_hash(model), base_hash(str(model))
    (model / "own.py").write_text("")
    assert all(
        one["own.py"] != other["own.py"]
        for one, other in zip(hashed, (model_hash(model), base_hash(str(model))), strict=True)
    )
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    assert "own.py" not in model_hash(model), "transformers' own class takes the place of that code"
    assert run_own_code("model", model) == []


def test_its_facts_say_what_it_needs(tiny_encoder: Path, tmp_path: Path) -> None:
    facts = model_facts(own_model(tiny_encoder, tmp_path / "model", "inspectedkind"))
    why_not = "no, its architecture 'inspectedkind' needs custom code, which is run of a base model only"
    assert facts["as teacher"] == facts["as incumbent"] == why_not

"""A model that needs code of its repository is refused in one line, and the code is not run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from crossforge import Reranker
from crossforge.errors import CrossforgeError
from crossforge_train.models.language_model import load_language_model, load_tokenizer
from crossforge_train.stages.base_check import require_trainable

MODULE = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


def opened_by_runtime(folder: Path) -> None:
    Reranker(folder)


def as_base(folder: Path) -> None:
    require_trainable(str(folder))


def as_language_model(folder: Path) -> None:
    load_language_model(str(folder), "documents.generator")


def as_grader(folder: Path) -> None:
    load_tokenizer(str(folder), "documents.judge")


@pytest.fixture
def custom(tiny_encoder: Path, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "custom"
    BertForSequenceClassification(BertConfig.from_pretrained(tiny_encoder, num_labels=1)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text((tiny_encoder / name).read_text())
    (folder / "own.py").write_text(MODULE)
    return folder


def with_auto_map(folder: Path, kind: str) -> None:
    settings = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps({**settings, "model_type": kind, "auto_map": auto_map}))


@pytest.mark.parametrize(
    ("use", "way_out"),
    [
        (opened_by_runtime, "which no app runs; the ONNX model of a package needs none"),
        (as_base, "set trust_remote_code: true if you trust the files in .*, or name another model"),
        (as_language_model, "which is never run; name another model"),
        (as_grader, "which is never run; name another model"),
    ],
)
def test_code_of_a_model_is_not_run(
    custom: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], None], way_out: str
) -> None:
    with_auto_map(custom, "ownkind")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # whom transformers asks
    with pytest.raises(CrossforgeError, match=rf"'ownkind' needs custom code[,;] {way_out}$") as caught:
        use(custom)
    assert "\n" not in str(caught.value)
    assert not (custom / "ran").exists()


def test_an_architecture_of_transformers_needs_none_of_it(custom: Path) -> None:
    with_auto_map(custom, "bert")
    assert Reranker(custom).score("bread", ["oven"]).shape == (1,)
    assert not (custom / "ran").exists()

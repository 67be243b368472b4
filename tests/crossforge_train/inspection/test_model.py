"""`crossforge inspect MODEL` says what a model is and how it would be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support import CHAT_TEMPLATE, Command, error_line, make_decoder, make_modular


def test_an_encoder_and_a_bi_encoder(crossforge: Command, tiny_encoder: Path) -> None:
    facts = crossforge("inspect", tiny_encoder, "--json").json
    assert facts["is"] == "a bi-encoder"
    assert "cosines" in facts["as base"]
    assert facts["as incumbent"] == "no, it has no scoring head"
    assert facts["reads"].startswith("64 tokens")
    plain = crossforge("inspect", tiny_encoder.with_name("tiny-plain"), "--json").json
    assert plain["is"] == "an encoder"
    assert plain["as base"].startswith("training starts with a fresh head: BertModel has no scoring head; ")


def test_a_bi_encoder_that_cannot_be_built_in_says_why(crossforge: Command, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "mpnet"))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "model_type": "mpnet"}))
    facts = crossforge("inspect", folder, "--json").json
    assert facts["as base"].startswith("training starts with a fresh head: its architecture is mpnet")


def test_rerankers_of_two_kinds(crossforge: Command, tiny_encoder: Path, tmp_path: Path) -> None:
    modular = crossforge("inspect", make_modular(tmp_path / "modular", tiny_encoder), "--json").json
    assert modular["is"] == "a CrossEncoder of several modules"
    assert modular["as incumbent"] == "yes"
    decoder = crossforge("inspect", make_decoder(tmp_path / "decoder"), "--json").json
    assert decoder["template"] == "judge : query : {query}\ndocument : {document}\nanswer :"
    assert "apply the template" in decoder["a package of it is read by"]


def test_a_hub_id_is_looked_up_as_a_base_model_is(
    crossforge: Command, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def snapshot_download(name: str, **_: object) -> str:
        asked.append(name)
        if name != "owner/name":
            raise ConnectionError
        return str(tiny_encoder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert crossforge("inspect", "owner/name", "--json").json["is"] == "a bi-encoder"
    assert "model owner/name" in crossforge("inspect", "owner/name").out
    assert "owner/name is a hub id" in error_line(crossforge("inspect", "owner/name", "--max-queries", "3"))
    assert "owner/none: not found; searched:" in error_line(crossforge("inspect", "owner/none"))
    assert set(asked) == {"owner/name", "owner/none"}
    for path in ("configs/none.yaml", "./none", "none"):
        assert "no such" in error_line(crossforge("inspect", path))
    assert set(asked) == {"owner/name", "owner/none"}


def test_what_cannot_be_trained_says_so(
    crossforge: Command, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("pages\nof\ntext")

    monkeypatch.setattr(torch.onnx, "export", fail)
    facts = crossforge("inspect", folder, "--json").json
    assert facts["as base"].startswith("no: no cross-encoder can be made of it: BertForSequenceClassification cannot")
    assert facts["a package of it is read by"] == "nothing: it cannot become a package"
    assert facts["as teacher"] == "its cosines (mining.teacher: base)"


def test_a_package_says_what_it_is_and_what_reads_it(crossforge: Command, toy_package: Path) -> None:
    facts = crossforge("inspect", toy_package, "--json").json
    assert facts["is"] == "a sequence classifier"
    assert facts["template"] == "none: the tokenizer joins query and document"
    assert facts["is read by"] == "all clients of docs/clients.md"


def test_what_is_of_no_use_is_one_line(crossforge: Command, tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "decoder", final_logit_softcapping=30.0)
    assert "final_logit_softcapping" in error_line(crossforge("inspect", folder))


def test_a_decoder_that_is_asked_nothing_is_no_encoder(crossforge: Command, tmp_path: Path) -> None:
    facts = crossforge("inspect", make_decoder(tmp_path / "decoder", template=CHAT_TEMPLATE), "--json").json
    assert facts["is"] == "a causal language model, not asked about pairs"
    assert "fresh head: Qwen3ForCausalLM has no scoring head" in facts["as base"]
    assert facts["template"].startswith("none")

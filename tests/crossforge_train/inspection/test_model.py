"""`crossforge inspect MODEL` says what a model is and how it would be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support import Command, error_line, make_decoder, make_modular


def test_an_encoder_and_a_bi_encoder(crossforge: Command, tiny_encoder: Path) -> None:
    facts = crossforge("inspect", tiny_encoder, "--json").json
    assert facts["is"] == "a bi-encoder"
    assert "cosines" in facts["as base"]
    assert facts["as incumbent"] == "no, it has no scoring head"
    assert facts["reads"].startswith("64 tokens")
    plain = crossforge("inspect", tiny_encoder.with_name("tiny-plain"), "--json").json
    assert (plain["is"], plain["as base"]) == ("an encoder", "training starts with a fresh head")


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


def test_what_is_of_no_use_is_one_line(crossforge: Command, tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "decoder", template=None)
    assert "without a chat template" in error_line(crossforge("inspect", folder))

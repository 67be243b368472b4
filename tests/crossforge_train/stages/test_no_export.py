"""A bi-encoder that cannot be exported: `auto` does without it, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Recorder, toy_config

from crossforge.errors import InputError
from crossforge_train.config.loading import load_config
from crossforge_train.encoders.export import NoExportError
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import STAGES, stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture
def instructor(tiny_encoder: Path, tmp_path: Path) -> Path:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    model[1].include_prompt = False
    model.save(str(tmp_path / "instructor"))
    return tmp_path / "instructor"


def test_auto_does_without(tmp_path: Path, toy_collection: Path, instructor: Path) -> None:
    path = toy_config(
        tmp_path, toy_collection, instructor,
        first_stage={"kind": "auto"}, mining={"teacher": "auto"},
        evaluation={"latency_queries": 0, "bm25": False}, package={"allow_regression": True},
    )  # fmt: skip
    config, told = load_config(path), Recorder()
    run_stages(config, STAGES, told)
    run = RunFolder(config.folder)
    assert run.mined.choice.kind == "lexical"
    assert not next(run.mined.groups()).teacher
    assert (run.package.path / "reranker.json").is_file()
    reason = f"base model {instructor}: leaves its prompt out when it pools"
    assert f"mining.teacher: none; {reason}" in told.notes
    assert f"{reason}, so nothing is embedded with it" in told.notes


@pytest.mark.parametrize("override", ["first_stage.kind=hybrid", "mining.teacher=base"])
def test_what_needs_it_says_the_way_out(override: str, tmp_path: Path, toy_collection: Path, instructor: Path) -> None:
    config = load_config(toy_config(tmp_path, toy_collection, instructor), [override])
    with pytest.raises(
        InputError, match=r"set first_stage\.kind: lexical, and mining\.teacher: null if it is base"
    ) as told:
        run_stages(config, stages_until(config, "mine"), Recorder())
    assert isinstance(told.value, NoExportError)

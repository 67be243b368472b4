"""Which negatives `mining.choice: auto` takes."""

from pathlib import Path

import pytest
from support import Recorder, toy_config

from crossforge.documents import Document
from crossforge_train.collections.collection import JUDGED_BY, Collection
from crossforge_train.config.loading import load_config
from crossforge_train.mining.choice import with_choice


def chosen(folder: Path, base_model: Path, *, near: bool = True, teacher: str | None = "base", **given: str) -> str:
    """What the note says."""
    config = load_config(toy_config(folder, folder, base_model, mining={"teacher": teacher, **given}))
    judge = {JUDGED_BY: "a model"} if folder.name == "machine" else {}
    collection = Collection(
        "any", {"d": Document("d", "text")}, {"q": "what"}, {"train": {"q": {"d": 1}}}, {"q": judge}
    )
    reporter = Recorder()
    settings = with_choice(config, collection, reporter, near=near)
    assert all(f"mining.choice: {settings.choice}, " in note for note in reporter.notes)
    return reporter.notes[0].partition("because ")[2] if reporter.notes else settings.choice


def test_the_first_are_taken_where_the_base_model_finds_them_and_people_judged(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    assert chosen(tmp_path, tiny_encoder) == "the base model's mistakes are among the first"


@pytest.mark.parametrize(
    ("folder", "near", "teacher", "why"),
    [
        ("words", False, "base", "only words find them"),
        ("taught", True, None, "the base model is no teacher"),
        ("machine", True, "base", "people did not judge most training queries"),
    ],
)
def test_a_draw_is_taken_otherwise(
    tmp_path: Path, tiny_encoder: Path, folder: str, near: bool, teacher: str | None, why: str
) -> None:
    (tmp_path / folder).mkdir()
    assert chosen(tmp_path / folder, tiny_encoder, near=near, teacher=teacher) == why


def test_a_draw_is_taken_where_another_encoder_finds_them(tmp_path: Path, tiny_encoder: Path) -> None:
    path = toy_config(tmp_path, tmp_path, tiny_encoder, mining={"teacher": "base"}, first_stage={"kind": "hybrid"})
    config = load_config(path, ["first_stage.encoder=another/encoder"])
    collection = Collection("any", {"d": Document("d", "text")}, {"q": "what"}, {"train": {"q": {"d": 1}}})
    reporter = Recorder()
    assert with_choice(config, collection, reporter, near=True).choice == "sample"
    assert reporter.notes == ["mining.choice: sample, picked because another model than the base model embeds"]


@pytest.mark.parametrize("choice", ["top", "sample"])
def test_what_the_config_says_stands(tmp_path: Path, tiny_encoder: Path, choice: str) -> None:
    assert chosen(tmp_path, tiny_encoder, choice=choice) == choice

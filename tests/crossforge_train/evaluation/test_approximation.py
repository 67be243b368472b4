"""Vectors that are searched approximately: how good they are on dev, and what a run and its package say of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import Recorder, toy_config

from crossforge.retrievers.base import Approximation
from crossforge.runs import Candidate
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.evaluation.approximation import approximated_on_dev
from crossforge_train.first_stage import approximated, approximation_of, in_words
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import first_stage as module
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")


class Lists:
    """Finds one of a hundred more documents with each list that it reads."""

    def __init__(self, approximation: Approximation | None = None) -> None:
        self.approximation = approximation

    def approximated(self, approximation: Approximation | None) -> Lists:
        return Lists(approximation)

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[Candidate]]:
        found = 100 if self.approximation is None else min(100, 40 + self.approximation.lists)
        return {query_id: [Candidate(f"d{n}", -n) for n in range(found)] for query_id in queries}


def test_as_few_lists_are_read_as_find_nearly_all() -> None:
    found = approximated_on_dev(Lists(), {"q": "text", "r": "text"}, 100)  # type: ignore[arg-type]
    assert found.approximation == Approximation(64, 100, 1.0)


def test_the_usual_setting_changes_no_fingerprint() -> None:
    assert "approximate" not in FirstStageConfig(kind="dense").fingerprint()
    assert FirstStageConfig(kind="dense", approximate=True).fingerprint()["approximate"] is True


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory, toy_collection: Path, tiny_encoder: Path) -> Config:
    """The config of a run that was mined with an exact search."""
    folder = tmp_path_factory.mktemp("exact")
    config = load_config(toy_config(folder, toy_collection, tiny_encoder, first_stage={"kind": "hybrid"}))
    run_stages(config, stages_until(config, "mine"), Recorder())
    return config


def mined_again(exact: Config, tmp_path: Path, *overrides: str) -> tuple[RunFolder, Recorder]:
    """The same run, mined once more with other settings."""
    shutil.copytree(exact.runs, tmp_path / "runs")
    config = load_config(exact.runs.parent / "config.yaml", [f"runs={tmp_path / 'runs'}", *overrides])
    notes = Recorder()
    run_stages(config, stages_until(config, "mine"), notes)
    return RunFolder(config.folder), notes


def test_mining_is_exact_and_what_is_served_is_not(exact: Config, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    run, notes = mined_again(exact, tmp_path, "first_stage.approximate=true")
    (note,) = [note for note in notes.notes if "approximately" in note]
    assert note.startswith("first stage: vectors are searched approximately where served (recall@200 1.000) on ")
    chosen = {"lists": 8, "depth": 200, "recall": 1.0}
    assert run.mined.choice.approximation == chosen
    served = run.mined.retriever()
    assert approximation_of(served) == Approximation(8, 200, 1.0)
    assert "searched approximately where served (recall@200 1.000)" in in_words(served)
    assert approximation_of(approximated(served, None)) is None
    assert "approximately" not in in_words(approximated(served, None))
    before = RunFolder(exact.folder).mined
    assert run.mined.run("test") == before.run("test")
    assert list(run.mined.groups()) == list(before.groups())


def test_auto_is_exact_for_few_documents(exact: Config) -> None:
    assert approximation_of(RunFolder(exact.folder).mined.retriever()) is None


def test_without_the_library_a_run_searches_exactly_and_says_so(
    exact: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available", lambda: False)
    run, notes = mined_again(exact, tmp_path, "first_stage.approximate=true")
    assert any(note.startswith("first_stage.approximate: faiss is not installed") for note in notes.notes)
    assert approximation_of(run.mined.retriever()) is None

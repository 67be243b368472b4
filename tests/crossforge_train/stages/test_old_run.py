"""Runs that version 0.1.0 left: they are skipped, resumed and read.

`tests/data/run-0.1.tar.xz` was made by that version on the toy collection with the tiny encoder: one run that is
finished, one of two rounds, and one that was killed after its first checkpoint. Of their ONNX models the exporter's
debugging text was taken out.
"""

from __future__ import annotations

import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
from support import Recorder

from crossforge import Reranker
from crossforge.files import read_json
from crossforge_train.config.loading import load_config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.evaluate import training_curves
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")

# The only first stage of that version, and its default.
LEXICAL = "first_stage.kind=lexical"
ARCHIVE = Path(__file__).parents[2] / "data" / "run-0.1.tar.xz"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the runs, in which their configs hold; installed versions are those that they were made with."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    versions: dict[str, str] = {}
    for record in (tmp_path / "runs").glob("*/stages/*.json"):
        depends_on = read_json(record)["depends_on"]
        versions |= {**depends_on.get("versions", {}), **depends_on.get("crossforge", {})}
    assert versions["crossforge"] == "0.1.0"
    monkeypatch.setattr("crossforge_train.versions.version", lambda name: versions.get(name) or version(name))
    return tmp_path


def run(name: str, until: str, *overrides: str) -> Recorder:
    config, notes = load_config(Path(f"{name}.yaml"), overrides), Recorder()
    run_stages(config, stages_until(config, until), notes)
    return notes


def test_a_finished_run_is_read(old: Path) -> None:
    found = RunFolder(Path("runs/finished"))
    assert len(found.collected.collection().corpus) == found.collected.counts.documents == 72
    assert found.collected.counts.leakage_left[0].same_relevant_text == [8, 7]
    assert found.mined.report.counts.negatives == {"first stage": 93}
    assert [band.negatives for band in found.mined.report.ranks] == [86, 7, 0, 0, 0]
    assert len(list(found.mined.groups())) == found.mined.report.groups == 31
    history = found.finetuned.history
    assert (history.groups, history.steps, history.best_step) == (31, 16, 6)
    report = found.evaluated.report
    assert report.verdict == "TIE"
    assert sum(report.splits[0].details.diagnosis.causes.values()) > 0  # type: ignore[union-attr]
    assert len(Reranker(found.package.path).score("bread oven", ["bread and oven", "a boat"])) == 2


def test_a_finished_run_is_trusted_up_to_its_proof_which_had_no_free_alternatives(old: Path) -> None:
    notes = run("finished", "package", LEXICAL)
    assert notes.stages_that("skipped") == ["collect", "mine", "finetune"]
    assert notes.stages_that("started") == ["evaluate", "package"]
    systems = [system.name for system in RunFolder(Path("runs/finished")).evaluated.report.splits[0].systems]
    assert {"base as bi-encoder", "dense, whole corpus", "hybrid, whole corpus"} <= set(systems)


def test_a_run_of_two_rounds_is_skipped(old: Path) -> None:
    notes = run("two-rounds", "finetune", LEXICAL)
    assert notes.stages_that("started") == []
    assert notes.stages_that("skipped") == ["collect", "mine", "finetune", "mine-2", "finetune-2"]


def test_a_killed_training_goes_on(old: Path) -> None:
    notes = run("killed", "finetune", LEXICAL)
    assert notes.stages_that("skipped") == ["collect", "mine"]
    assert notes.stages_that("started") == ["finetune"]
    assert "resuming from checkpoint-6" in notes.notes
    whole, resumed = (RunFolder(Path("runs") / name).finetuned.history for name in ("finished", "killed"))
    assert resumed.steps == whole.steps
    measured = dict(resumed.fused_dev_metrics())
    assert min(measured) > 6, "earlier versions did not fuse"
    curves = training_curves(resumed)
    fused = dict(zip(curves.dev_steps, curves.fused, strict=True))
    assert fused == {**dict.fromkeys(curves.dev_steps), **measured}
    assert resumed.best_fused == measured[resumed.best_step] == max(measured.values())


def test_a_second_round_repeats_nothing_of_the_first(old: Path) -> None:
    notes = run("finished", "finetune", LEXICAL, "mining.rounds=2")
    assert notes.stages_that("skipped") == ["collect", "mine", "finetune"]
    assert notes.stages_that("started") == ["mine-2", "finetune-2"]

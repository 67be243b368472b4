"""Students of the trained reranker: which stages make them, what dev picks from, and what ships."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Recorder, error_line, make_decoder, make_modular, toy_config
from transformers import AutoConfig, AutoModel, AutoTokenizer

from crossforge import Reranker
from crossforge.errors import InputError
from crossforge.manifest import read_manifest
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.evaluation.budget import Point
from crossforge_train.mining.groups import read_groups
from crossforge_train.report.tables import budget_rows
from crossforge_train.run_folder import RunFolder
from crossforge_train.stage_folders import StudentFolder
from crossforge_train.stages import package, students
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages
from crossforge_train.stages.stage import Context

pytestmark = pytest.mark.usefixtures("quickly")

PACKAGE = {"budget_ms": 60000, "layers": [3], "allow_regression": True}


def student_within(_: float, points: Sequence[Point]) -> Point:
    """The best student: on toys, what is faster is a matter of chance."""
    return max((point for point in points if point.layers), key=lambda point: point.quality)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, toy_collection: Path, tiny_encoder: Path
) -> tuple[Config, Recorder]:
    """A run that starts from two layers of a bi-encoder and two that compare, and ships a student of three."""
    path = toy_config(
        tmp_path_factory.mktemp("students"), toy_collection, tiny_encoder, training={"start": "bi_encoder"},
        evaluation={"bm25": False, "latency_queries": 0, "backend": "onnx"}, package=PACKAGE,
    )  # fmt: skip
    config, notes = load_config(path), Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossforge_train.stages.subject.point_within", student_within)
        patch.setattr("crossforge_train.training.start._FAITHFUL", 0.2)  # of the toy encoder's cosines
        run_stages(config, stages_until(config, "package"), notes)
    return config, notes


@pytest.mark.slow
def test_the_stages_of_students_stand_before_the_proof(finished: tuple[Config, Recorder]) -> None:
    config, notes = finished
    names = ["collect", "mine", "finetune", "teach", "student-3", "evaluate", "package"]
    assert notes.stages_that("finished") == names
    again = Recorder()
    run_stages(config, stages_until(config, "package"), again)
    assert again.stages_that("skipped") == names


@pytest.mark.slow
def test_a_student_is_the_trained_model_without_some_layers_taught_by_it(finished: tuple[Config, Recorder]) -> None:
    config, notes = finished
    run = RunFolder(config.folder)
    mined, taught = (read_groups(config.folder / name / "groups") for name in ("mine", "teach"))
    assert [group.doc_ids for group in taught] == [group.doc_ids for group in mined]
    collection, whole = run.collected.collection(), Reranker(run.finetuned.model)
    texts = [collection.corpus[doc_id].full_text for doc_id in taught[0].doc_ids]
    np.testing.assert_allclose(taught[0].teacher, whole.score(collection.queries[taught[0].query_id], texts), atol=1e-3)
    student = run.student(3)
    assert (list(student.kept.layers), student.kept.of) == ([0, 2, 3], 4)
    assert any(note.startswith("layers 1, 3, 4 of 4 stay: ") for note in notes.notes)
    assert json.loads((student.model / "config.json").read_text())["num_hidden_layers"] == 3
    training = student.history.training
    assert (training.label_weight, training.distillation_weight, training.max_length) == (0, 1, 48)
    assert student.history.steps > 0
    assert not student.working_files.start.exists()


@pytest.mark.slow
def test_dev_picks_among_the_model_and_its_students_and_every_form_of_the_report_says_so(
    finished: tuple[Config, Recorder], crossforge: Any
) -> None:
    config, notes = finished
    report = RunFolder(config.folder).evaluated.report
    assert report.budget is not None
    assert {point.layers for point in report.budget.points} == {None, 3}
    assert report.budget.shipped.layers == 3
    assert report.tuned is not None
    assert report.tuned.dev["as shipped"] == pytest.approx(report.budget.shipped.quality)
    assert any("the student of 3 layers, " in note for note in notes.notes)
    rows = budget_rows(report.budget)
    assert {row[0] for row in rows} <= {"all", "3"}
    written = (config.folder / "evaluate/report.html").read_text()
    assert "<th>layers</th>" in written
    assert "the student of 3 layers ship" in written
    shown = crossforge("evaluate", config.folder.parents[1] / "config.yaml").out
    assert "the student of 3 layers ship" in shown
    training = RunFolder(config.folder).student(3).history
    assert report.training is not None
    assert report.training.best_step == training.best_step


@pytest.mark.slow
def test_the_student_is_what_is_packaged(finished: tuple[Config, Recorder]) -> None:
    config, _ = finished
    run = RunFolder(config.folder)
    packaged = run.package.path
    manifest = read_manifest(packaged)
    assert manifest.agreement["onnx"] < 1e-3
    assert manifest.max_length == 48
    assert json.loads((packaged / "config.json").read_text())["num_hidden_layers"] == 3
    texts = ["bread and oven", "a boat in the harbour", "pawn takes bishop"]
    expected = Reranker(run.student(3).model).score("bread oven", texts)
    for backend in ("onnx", "torch"):
        shipped = Reranker(packaged, backend=backend)
        np.testing.assert_allclose(manifest.raw_logits(shipped.score("bread oven", texts)), expected, atol=1e-4)
    assert not np.allclose(Reranker(run.finetuned.model).score("bread oven", texts), expected, atol=1e-3)
    card = " ".join((packaged / "README.md").read_text().split())
    assert "This package is a student of that model: 3 of its 4 layers (1, 3 and 4), trained to give its scores" in card


@pytest.mark.slow
def test_a_killed_student_keeps_the_layers_that_were_chosen(
    finished: tuple[Config, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = finished
    begun = []
    monkeypatch.setattr(students, "finetune", lambda context, *_: begun.append(context.config.training.label_weight))
    notes = Recorder()
    for _ in range(2):
        students.student(3).run(Context(config, notes, tmp_path))
    assert begun == [0, 0]
    assert len([note for note in notes.notes if "stay" in note]) == 1
    (tmp_path / "tensorboard").mkdir()
    assert {path.name for path in StudentFolder(tmp_path).resumable} == {"start", "kept.json"}


@pytest.mark.slow
def test_no_student_is_made_of_a_model_that_turns_out_to_have_no_more_layers(
    finished: tuple[Config, Recorder], tmp_path: Path
) -> None:
    notes = Recorder()
    students.student(4).run(Context(finished[0], notes, tmp_path))
    assert notes.notes == ["package.layers: no student of 4 layers, the trained reranker has 4"]
    assert not list(tmp_path.iterdir())


def test_a_config_without_layers_has_no_such_stages_and_depends_on_what_it_did(
    toy_collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = toy_config(tmp_path, toy_collection, tiny_encoder, package=PACKAGE)
    assert _names(load_config(path), "finetune") == ["collect", "mine", "finetune"]
    assert _names(load_config(path, ["package.layers=[2, 3]", "mining.rounds=2"]), "evaluate")[3:] == [
        "mine-2", "finetune-2", "teach", "student-3", "student-2", "evaluate",
    ]  # fmt: skip
    without = load_config(path, ["package.layers=[]"])
    assert _names(without, "package") == ["collect", "mine", "finetune", "evaluate", "package"]
    assert set(package.STAGE.depends_on(without)["package"]) == {
        "allow_regression", "budget_ms", "int8", "include_corpus",
    }  # fmt: skip


def _names(config: Config, last: str) -> list[str]:
    return [stage.name for stage in stages_until(config, last)]


def refusal(crossforge: Any, path: Path, *sets: str) -> str:
    outcome = crossforge("train", path, *(f"--set={text}" for text in sets), "--quiet")
    assert not list(path.parent.glob("runs/*/collect*")), "nothing has run"
    return error_line(outcome)


def test_a_student_has_fewer_layers_than_the_model(
    toy_collection: Path, tiny_encoder: Path, tmp_path: Path, crossforge: Any
) -> None:
    path = toy_config(tmp_path, toy_collection, tiny_encoder, package=PACKAGE)
    line = refusal(crossforge, path, "package.layers=[4]")
    assert f"package.layers: 4 is not below the 4 layers that {tiny_encoder} is trained with" in line
    line = refusal(crossforge, path, "training.start=fresh_head")
    assert f"package.layers: 3 is not below the 2 layers that {tiny_encoder} is trained with" in line


@pytest.mark.parametrize("kind", ["modular", "decoder"])
def test_layers_are_found_behind_every_head(
    toy_collection: Path, tiny_encoder: Path, tmp_path: Path, crossforge: Any, kind: str
) -> None:
    base = make_modular(tmp_path / "base", tiny_encoder) if kind == "modular" else make_decoder(tmp_path / "base")
    path = toy_config(tmp_path, toy_collection, base, package=PACKAGE)
    assert f"package.layers: 3 is not below the 2 layers that {base} is trained with" in refusal(crossforge, path)


def test_layers_that_cannot_be_found_are_one_line(
    toy_collection: Path, tiny_encoder: Path, tmp_path: Path, crossforge: Any
) -> None:
    base, plain = tmp_path / "albert", tiny_encoder.with_name(tiny_encoder.name + "-plain")
    sizes = AutoConfig.from_pretrained(plain).to_dict()
    kept = {key: sizes[key] for key in ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads")}
    AutoModel.from_config(
        AutoConfig.for_model("albert", **kept, num_hidden_layers=3, embedding_size=16, pad_token_id=0)
    ).save_pretrained(base)
    AutoTokenizer.from_pretrained(plain).save_pretrained(base)
    path = toy_config(tmp_path, toy_collection, base, package=PACKAGE)
    line = refusal(crossforge, path)
    assert f"package.layers: {base} cannot be made shallower: AlbertForSequenceClassification: no list of 3" in line


@pytest.mark.slow
def test_a_student_that_ranks_nothing_names_the_way_out(
    finished: tuple[Config, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossforge_train.stages.finetune.CONSTANT_SPREAD", 1e9)
    with pytest.raises(InputError, match=r"ranks nothing; leave 3 out of package\.layers$"):
        students.student(3).run(Context(finished[0], Recorder(), tmp_path))

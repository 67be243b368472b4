"""The tokens that a run's encoder reads: chosen within the stage `mine`, and read by all stages after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import Recorder, toy_config

from crossforge.files import read_json, write_json
from crossforge.retrievers.dense import DenseRetriever
from crossforge_train.collections.collection import PSEUDO_QUERY
from crossforge_train.collections.storage import save_judged
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.config.sources import MixedSource
from crossforge_train.evaluation import encoder_length as measuring
from crossforge_train.first_stage import vector_part
from crossforge_train.report.files import read_report
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import encoder_length
from crossforge_train.stages.choosing import training_queries_that_choose
from crossforge_train.stages.encoder_length import with_encoder_length
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")
NOTE = "first_stage.encoder_max_length: "
Ran = Callable[..., tuple[Config, Recorder]]


@pytest.fixture
def ran(tmp_path: Path, toy_collection: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Runs the toy collection, whose texts are short, with lengths that differ on them."""
    monkeypatch.setattr(measuring, "LENGTHS", (8, 16))
    first_stage = {"kind": "hybrid", "query_map": False, "tune_encoder": False}
    path = toy_config(tmp_path, toy_collection, tiny_encoder, first_stage=first_stage, mining={"teacher": "base"})

    def run(last: str, *overrides: str) -> tuple[Config, Recorder]:
        config, notes = load_config(path, overrides), Recorder()
        run_stages(config, stages_until(config, last), notes)
        return config, notes

    return run


def told(notes: Recorder) -> list[str]:
    return [note.removeprefix(NOTE) for note in notes.notes if note.startswith(NOTE)]


def read_by_first_stage(config: Config) -> int:
    part = vector_part(RunFolder(config.folder).mined.retriever())
    assert part is not None
    assert isinstance(part, DenseRetriever)
    return part.encoder.settings.max_length


@pytest.mark.parametrize("best", [8, 16])
def test_every_stage_reads_what_was_chosen(ran: Ran, monkeypatch: pytest.MonkeyPatch, best: int) -> None:
    monkeypatch.setattr(encoder_length, "best_length", lambda values: best)
    config, notes = ran("evaluate")
    (note,) = told(notes)
    assert note.startswith(f"the encoder reads {best} tokens; nDCG@10 of its vectors on ")
    assert " with 8, " in note
    assert note.endswith(" with 16")
    assert read_by_first_stage(config) == best
    run = RunFolder(config.folder)
    assert with_encoder_length(config, run.mined).first_stage.encoder_max_length == best
    group = next(run.mined.groups())
    asked = {group.query_id: run.collected.collection().queries[group.query_id]}
    part = vector_part(run.mined.retriever())
    assert part is not None
    cosines = part.scores(asked, {group.query_id: list(group.doc_ids)})[group.query_id]
    assert cosines == pytest.approx(group.teacher, abs=2e-3)  # the teacher has read as much
    measured = {system.name for system in read_report(run.evaluated.path).splits[0].systems}
    assert "dense, whole corpus" in measured
    assert "hybrid, whole corpus" not in measured  # it would be the first stage itself


def test_shards_measure_the_same(ran: Ran) -> None:
    one, by_one = ran("mine")
    several, by_several = ran("mine", "compute.shards=3", "name=shards")
    assert told(by_several) == told(by_one)
    assert RunFolder(several.folder).mined.choice == RunFolder(one.folder).mined.choice


def test_a_run_that_says_nothing_of_tokens_reads_all(ran: Ran) -> None:
    config, _ = ran("mine")
    mined = RunFolder(config.folder).mined
    file = mined.path / "first_stage.json"
    earlier = read_json(file)
    del earlier["encoder_tokens"]
    write_json(file, earlier)
    assert with_encoder_length(config, mined).first_stage.encoder_max_length is None


def test_another_encoder_reads_all_and_so_does_the_base_model(ran: Ran, tiny_encoder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    config, notes = ran("mine", f"first_stage.encoder={other}")
    assert not told(notes)
    assert read_by_first_stage(config) > 16
    assert RunFolder(config.folder).mined.choice.encoder_tokens is None


def test_training_queries_of_one_source_choose(ran: Ran, toy_collection: Path) -> None:
    config, _ = ran("collect")
    collection = RunFolder(config.folder).collected.collection()
    assert training_queries_that_choose(config, collection) == collection.qrels("train")
    encoder = config.first_stage.model_copy(update={"encoder": "elsewhere"})
    assert not training_queries_that_choose(config.model_copy(update={"first_stage": encoder}), collection)
    for key in ("replay", "mix"):
        several = config.collection.model_copy(update={key: (MixedSource(beir=toy_collection, name="again"),)})
        assert not training_queries_that_choose(config.model_copy(update={"collection": several}), collection)


def test_a_config_that_names_the_tokens_is_obeyed(ran: Ran) -> None:
    config, notes = ran("mine", "first_stage.encoder_max_length=12")
    assert not told(notes)
    assert read_by_first_stage(config) == 12


def test_null_reads_all_that_the_encoder_can(ran: Ran) -> None:
    config, notes = ran("mine", "first_stage.encoder_max_length=null")
    assert not told(notes)
    assert read_by_first_stage(config) > 16


@pytest.mark.parametrize("limit", ["LEAST_QUERIES", "_MOST_SECONDS"])
def test_too_few_queries_and_too_slow_an_encoder_choose_nothing(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(encoder_length, limit, 10_000 if limit == "LEAST_QUERIES" else 0)
    config, notes = ran("mine")
    assert not told(notes)
    assert read_by_first_stage(config) > 16
    assert RunFolder(config.folder).mined.choice.encoder_tokens is None


@pytest.mark.parametrize("kind", ["title", "sentence"])
def test_of_pseudo_queries_titles_alone_choose(ran: Ran, kind: str) -> None:
    config, _ = ran("collect")
    folder = RunFolder(config.folder).collected
    collection = folder.collection()
    made = {query_id: {PSEUDO_QUERY: kind} for query_id in collection.queries}
    save_judged(folder.path / "collection", replace(collection, query_fields=made))
    config, notes = ran("mine")
    assert [" titles is " in note for note in told(notes)] == ([True] if kind == "title" else [])
    assert (read_by_first_stage(config) > 16) == (kind == "sentence")

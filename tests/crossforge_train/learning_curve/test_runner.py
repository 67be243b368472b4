"""`crossforge budget`: what is trained on, what is shared, what is measured, and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support import Command, Page, Recorder, error_line, toy_config, write_collection

import crossforge_train as ct
from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.evaluation.systems import FIRST_STAGE, RERANKER, SHIPPED
from crossforge_train.learning_curve import runner
from crossforge_train.learning_curve.runner import run_learning_curve
from crossforge_train.learning_curve.shares import config_of, drawn_shares, stages_of
from crossforge_train.mining.groups import read_groups
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = [pytest.mark.usefixtures("quickly"), pytest.mark.slow]  # four trainings


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training queries, a quarter of which become dev, and test queries that nobody may look at."""
    return write_collection(tmp_path_factory.mktemp("labels") / "labels", train=96, test=8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, collection: Path, tiny_encoder: Path) -> Path:
    return toy_config(
        tmp_path_factory.mktemp("curve"), collection, tiny_encoder,
        evaluation={"latency_queries": 0}, training={"evaluations": 1},
    )  # fmt: skip


@pytest.fixture(scope="module")
def learned(path: Path, quickly: None) -> ct.LearningCurve:
    return ct.budget(load_config(path))


def sizes(labelled: int) -> list[int]:
    return [round(labelled / share) for share in (8, 4, 2, 1)]


def share_folders(config: Config) -> list[RunFolder]:
    return [RunFolder(folder) for folder in sorted(RunFolder(config.folder).learning_curve.glob("queries-*"))]


def test_each_share_holds_those_before_it_and_is_what_was_mined(path: Path, learned: ct.LearningCurve) -> None:
    config = load_config(path)
    whole = RunFolder(config.folder)
    shares = drawn_shares(config, whole.collected.collection())
    assert [len(share.query_ids) for share in shares] == sizes(len(whole.collected.collection().qrels("train")))
    for fewer, more in pairwise(shares):
        assert set(fewer.query_ids) < set(more.query_ids)
    folders = [*share_folders(config), whole]
    for share, folder in zip(shares, folders, strict=True):
        groups = read_groups(folder.path / "mine" / "groups")
        assert {group.query_id for group in groups} == set(share.query_ids)
        assert folder.finetuned.history.groups == len(groups)
        kept = folder.collected
        assert set(kept.collection().qrels("train")) == set(share.query_ids)
        assert kept.counts.queries == {**whole.collected.counts.queries, "train": len(share.query_ids)}
        assert dict(kept.collection().qrels("dev")) == dict(whole.collected.collection().qrels("dev"))


def test_another_machine_takes_the_trainings_from_the_store(
    tmp_path: Path, collection: Path, tiny_encoder: Path
) -> None:
    def config(machine: str) -> Config:
        (tmp_path / machine).mkdir()
        sections: dict[str, Any] = {"evaluation": {"latency_queries": 0}, "training": {"evaluations": 1}}
        return load_config(
            toy_config(tmp_path / machine, collection, tiny_encoder, store=f"file://{tmp_path}/store", **sections)
        )

    notes = Recorder()
    first, second = run_learning_curve(config("first"), Recorder()), run_learning_curve(config("second"), notes)
    assert notes.stages_that("started") == []
    assert second.points == first.points


def test_documents_and_first_stage_are_shared(path: Path, learned: ct.LearningCurve) -> None:
    config = load_config(path)
    for folder in share_folders(config):
        for file in ("collect/collection/corpus.arrow", "mine/run.dev.trec"):
            assert (folder.path / file).samefile(config.folder / file)
        groups = Path("mine", "groups", "part-00000.parquet")
        assert not (folder.path / groups).samefile(config.folder / groups)


def test_everything_is_measured_on_dev_and_nothing_on_test(path: Path, learned: ct.LearningCurve) -> None:
    config = load_config(path)
    dev = set(RunFolder(config.folder).collected.collection().qrels("dev"))
    found = [folder.dev_values.values for folder in [*share_folders(config), RunFolder(config.folder)]]
    for values, point in zip(found, learned.points, strict=True):
        assert set(values.values) == {FIRST_STAGE, values.best_free, RERANKER, SHIPPED}
        assert all(set(by_query) == dev for by_query in values.values.values())
        for system, by_query in values.values.items():
            assert point.means is not None
            assert point.means[system] == pytest.approx(sum(by_query.values()) / len(dev))
    assert not (config.folder / "evaluate").exists()
    assert len({tuple(values.values[FIRST_STAGE].values()) for values in found}) == 1
    assert len({tuple(values.values[RERANKER].values()) for values in found}) == 4


def test_the_whole_is_the_run_itself_and_nothing_is_done_twice(path: Path, learned: ct.LearningCurve) -> None:
    config, recorder = load_config(path), Recorder()
    again = run_learning_curve(config, recorder)
    assert not recorder.stages_that("started")
    assert again == learned
    trained = Recorder()
    run_stages(config, stages_until(config, "finetune"), trained)
    assert trained.stages_that("skipped") == ["collect", "mine", "finetune"]


def test_what_is_shown_is_on_the_page_and_in_the_json(
    path: Path, learned: ct.LearningCurve, crossforge: Command
) -> None:
    shown = crossforge("budget", path, "--quiet")
    assert shown.status == 0
    summary = f"With all {learned.labelled} labelled queries, nDCG@10 on {learned.dev_queries} dev queries is "
    assert summary in shown.out
    assert "as shipped: " in shown.out
    assert "the test splits were not measured" in shown.out
    assert learned.page in shown.out
    found = crossforge("budget", path, "--json").json
    assert found == read_json(Path(learned.page).with_suffix(".json"))
    assert [point["queries"] for point in found["points"]] == sizes(learned.labelled)
    assert [one["more"] for one in found["curves"][0]["forecasts"]] == [100, 300, 1000]
    html = Path(learned.page).read_text()
    page = Page(html)
    assert page.elements["svg"] == 1
    assert page.elements["table"] == 2
    assert all(reference.startswith("#") for reference in page.references)
    assert summary in html


def test_a_map_that_learned_from_all_labels_is_not_used_for_fewer(
    tmp_path: Path, collection: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from crossforge_train.evaluation.moving import Moved
    from crossforge_train.stages import first_stage

    taught: list[int] = []

    def moved(retriever: Any, found: Any, train: str, *_: Any) -> Moved:
        taught.append(len(found.qrels(train)))
        return Moved(np.eye(32, dtype=np.float32), 0.5)

    monkeypatch.setattr(first_stage, "moved_on_dev", moved)
    path = toy_config(
        tmp_path, collection, tiny_encoder, first_stage={"kind": "hybrid"},
        evaluation={"latency_queries": 0, "bm25": False}, training={"evaluations": 1},
    )  # fmt: skip
    config = load_config(path)
    run_stages(config, stages_until(config, "mine"), Recorder())
    smallest = drawn_shares(config, RunFolder(config.folder).collected.collection())[0]
    run_stages(config_of(config, smallest), stages_of(config, smallest)[:2], Recorder())
    assert taught == [taught[0], sizes(taught[0])[0]]
    assert len(list((config.runs / ".embeddings").iterdir())) == 1
    assert not list(config.folder.rglob(".embeddings")), "what is embedded is shared"


def test_a_share_that_fails_is_told_and_the_others_go_on(
    path: Path, learned: ct.LearningCurve, monkeypatch: pytest.MonkeyPatch
) -> None:
    smallest = f"queries-{sizes(learned.labelled)[0]:05}"
    run: Callable[..., None] = runner.run_stages

    def failing(config: Config, *arguments: Any) -> None:
        if config.name.endswith(smallest):
            raise InputError("it ranks nothing")
        run(config, *arguments)

    monkeypatch.setattr(runner, "run_stages", failing)
    recorder = Recorder()
    found = run_learning_curve(load_config(path), recorder)
    assert found.points[0].reason == "it ranks nothing"
    assert [point.reason for point in found.points[1:]] == [None] * 3
    assert "the training on 1/8 failed: it ranks nothing" in recorder.notes


def test_too_few_labels_are_told_before_anything_is_trained(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, crossforge: Command
) -> None:
    path = toy_config(tmp_path, toy_collection, tiny_encoder)
    line = error_line(crossforge("budget", path, "--quiet"))
    assert line == (
        "error: split train: 31 of its queries have a relevant document; a learning curve needs 40, since it trains on "
        "an eighth of them, too; label more first"
    )
    assert not (load_config(path).folder / "mine").exists()

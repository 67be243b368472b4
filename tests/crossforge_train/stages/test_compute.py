"""Wherever mining is done, it writes the same files, and finished stages count as finished."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from ray_workers import importable_by_workers
from support import Recorder, documents_with_definitions, make_decoder, toy_config, write_lines
from wrapped_engine import PretendedCluster

from crossforge_train.config.loading import load_config, make_config
from crossforge_train.mining import cross_encoder
from crossforge_train.run_folder import RunFolder
from crossforge_train.sharding import fitting
from crossforge_train.sharding.searching import SearchShard
from crossforge_train.sharding.shards import Shard
from crossforge_train.stages import collect, mine, runner
from crossforge_train.stages.embedding import sharing
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")

BY_SHARDS = "compute.shards=3"
BY_RAY = "compute={engine: ray, workers: 2, shards: 3}"


def mined(folder: Path, collection: Path, encoder: Path, *overrides: str) -> dict[str, bytes]:
    """The files of the stage `mine`."""
    folder.mkdir()
    config = load_config(toy_config(folder, collection, encoder), overrides)
    run_stages(config, [collect.STAGE, mine.STAGE], Recorder())
    found = RunFolder(config.folder).mined.path
    return {str(path.relative_to(found)): path.read_bytes() for path in sorted(found.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", ["lexical", "hybrid"])
@pytest.mark.parametrize("compute", [BY_SHARDS, pytest.param(BY_RAY, marks=pytest.mark.slow)])
def test_the_same_files(tmp_path: Path, toy_collection: Path, tiny_encoder: Path, kind: str, compute: str) -> None:
    settings = f"first_stage.kind={kind}"
    if "ray" in compute:
        pytest.importorskip("ray")
    expected = mined(tmp_path / "whole", toy_collection, tiny_encoder, settings)
    with importable_by_workers():
        found = mined(tmp_path / "shared", toy_collection, tiny_encoder, settings, compute)
    assert list(found) == list(expected)  # no shard is left
    assert [name for name in found if found[name] != expected[name]] == []
    assert "groups/part-00000.parquet" in found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Of which folder which rows of vectors are searched."""
    found: list[tuple[str, int, int]] = []
    open_vectors = fitting.open_vectors

    def watched(shard: Shard, folder: Path) -> SearchShard:
        found.append((folder.name, shard.start, shard.stop))
        return open_vectors(shard, folder)

    monkeypatch.setattr(fitting, "open_vectors", watched)
    return found


def test_vectors_are_searched_by_shards(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, opened: list[tuple[str, int, int]]
) -> None:
    mined(tmp_path / "run", toy_collection, tiny_encoder, "first_stage.kind=dense", BY_SHARDS)
    assert set(opened) == {("vectors", 0, 24), ("vectors", 24, 48), ("vectors", 48, 72)}


def test_further_sources_of_vectors_are_searched_by_shards(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, opened: list[tuple[str, int, int]]
) -> None:
    sources = f"mining.sources=[{{dense: {tiny_encoder}}}]"
    expected = mined(tmp_path / "whole", toy_collection, tiny_encoder, "first_stage.kind=lexical", sources)
    assert opened == []
    found = mined(tmp_path / "shared", toy_collection, tiny_encoder, "first_stage.kind=lexical", sources, BY_SHARDS)
    assert found == expected
    groups = RunFolder(load_config(tmp_path / "shared/config.yaml").folder).mined.groups()
    assert any(f"dense {tiny_encoder.name}" in group.sources for group in groups)
    name = f"source dense {tiny_encoder.name}"
    assert set(opened) == {(name, 0, 24), (name, 24, 48), (name, 48, 72)}


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> PretendedCluster:
    """What stands for the cluster that a config asks for."""
    cluster = PretendedCluster()
    monkeypatch.setattr(runner, "opened_engine", lambda *_, **__: nullcontext(cluster))
    return cluster


def test_language_models_of_the_collection_work_on_the_cluster(
    tmp_path: Path, tiny_encoder: Path, pretended: PretendedCluster
) -> None:
    model = make_decoder(tmp_path / "model", "qwen3", None)
    documents = documents_with_definitions()
    write_lines(tmp_path / "docs.jsonl", documents)
    titles = [row["title"].split() for row in documents]
    (tmp_path / "log.txt").write_text("".join(f"{title[0]} {title[2]}\n" for title in titles[:60]))
    generator = {
        "model": str(model),
        "max_new_tokens": 4,
        "max_document_tokens": 16,
        "cache": str(tmp_path / "written"),
    }
    judge = {"model": str(model), "depth": 2, "relevant": 1, "cache": str(tmp_path / "graded"),
             "prompt": "{query} {text}"}  # fmt: skip
    source = {
        "corpus": str(tmp_path / "docs.jsonl"), "generator": generator, "quotas": {"title": 1, "generator": 1},
        "queries": 40, "dev": 0.2, "test": 0.2, "consistency": None,
    }  # fmt: skip
    asked = {"log": {"file": str(tmp_path / "log.txt"), "model": str(tiny_encoder), "dev": 0.3}, "judge": judge}

    def collected(**settings: Any) -> int:
        values = {"name": "toy", "runs": str(tmp_path / "runs"), "collection": {"documents": {**source, **settings}}}
        config = make_config({**values, "compute": {"engine": "ray"}}, [])
        pretended.batches = 0
        run_stages(config, [collect.STAGE], Recorder())
        return pretended.batches

    assert collected() == 64 // 8, "a block of documents in batches"
    assert collected(**asked) > 0, "what is written is known, and what is graded is not"


@pytest.mark.parametrize("there", [True, False])
def test_a_teacher_scores_where_models_are_shared_out(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, tiny_scorer: Path, pretended: PretendedCluster,
    monkeypatch: pytest.MonkeyPatch, there: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(cross_encoder, "_CHUNK", 10)
    monkeypatch.setattr(mine, "sharing", lambda _, engine: engine if there else None)
    mined(tmp_path / "run", toy_collection, tiny_encoder, f"mining.teacher={tiny_scorer}", "compute.engine=ray")
    assert (pretended.made["ScorePairs"] > 0) is there


@pytest.mark.parametrize(
    ("gpu_here", "gpus", "there"), [(False, 0, True), (True, 0, False), (True, 0.5, True), (False, 1, True)]
)
def test_workers_without_a_gpu_do_not_take_the_place_of_one_that_is_here(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, gpu_here: bool,
    gpus: float, there: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu_here)
    engine, config = PretendedCluster(gpus=gpus), toy_config(tmp_path, toy_collection, tiny_encoder)
    assert sharing(load_config(config, ["compute.engine=ray"]), engine) is (engine if there else None)
    assert sharing(load_config(config), engine) is None


def test_a_finished_stage_stays_so(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    mined(tmp_path / "run", toy_collection, tiny_encoder)
    again = Recorder()
    unreachable = "compute={engine: ray, address: '127.0.0.1:1'}"  # nothing has to be done, so nobody asks there
    config = load_config(tmp_path / "run/config.yaml", [unreachable])
    run_stages(config, [collect.STAGE, mine.STAGE], again)
    assert again.stages_that("skipped") == ["collect", "mine"]

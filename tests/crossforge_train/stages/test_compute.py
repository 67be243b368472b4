"""Wherever mining is done, it writes the same files, and finished stages count as finished."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray_workers import importable_by_workers
from support import Recorder, toy_config

from crossforge_train.config.loading import load_config
from crossforge_train.run_folder import RunFolder
from crossforge_train.sharding import fitting
from crossforge_train.sharding.searching import SearchShard
from crossforge_train.sharding.shards import Shard
from crossforge_train.stages import collect, mine
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
    assert "groups.jsonl" in found


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
    assert b"dense" in found["groups.jsonl"]
    name = f"source dense {tiny_encoder.name}"
    assert set(opened) == {(name, 0, 24), (name, 24, 48), (name, 48, 72)}


def test_a_finished_stage_stays_so(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    mined(tmp_path / "run", toy_collection, tiny_encoder)
    again = Recorder()
    unreachable = "compute={engine: ray, address: '127.0.0.1:1'}"  # nothing has to be done, so nobody asks there
    config = load_config(tmp_path / "run/config.yaml", [unreachable])
    run_stages(config, [collect.STAGE, mine.STAGE], again)
    assert again.stages_that("skipped") == ["collect", "mine"]

"""Fingerprints of stages: what was finished under an earlier version's inputs is finished now."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import Recorder

from crossforge_train.config.run import Config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.records import finished_in, is_finished, wanted_records, write_record
from crossforge_train.stages.runner import run_stages
from crossforge_train.stages.stage import Stage

Formerly = Callable[[Config, Mapping[str, Any]], Mapping[str, Any]]


def stages(*, one: dict[str, int], formerly: Formerly | None = None) -> list[Stage]:
    """Two stages that do nothing, the first of which has these inputs."""
    return [Stage("one", lambda _: one, lambda _: None, formerly=formerly), Stage("two", lambda _: {}, lambda _: None)]


def rounds_are_two(_: Config, depends_on: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**depends_on, "rounds": 2}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(name="old", runs=tmp_path, collection={"builtin": "pydocs"})


def ran(config: Config, found: list[Stage]) -> list[str]:
    notes = Recorder()
    run_stages(config, found, notes)
    return notes.stages_that("started")


def test_a_run_of_an_earlier_version_is_finished_and_so_are_the_stages_after(config: Config) -> None:
    assert ran(config, stages(one={"x": 1, "rounds": 2})) == ["one", "two"]
    assert ran(config, stages(one={"x": 1}, formerly=rounds_are_two)) == []


def test_other_inputs_than_the_earlier_version_had_are_not_finished(config: Config) -> None:
    ran(config, stages(one={"x": 1, "rounds": 1}))
    assert ran(config, stages(one={"x": 1}, formerly=rounds_are_two)) == ["one", "two"]
    assert ran(config, stages(one={"x": 2}, formerly=rounds_are_two)) == ["one", "two"]


def test_without_a_former_wording_only_the_same_inputs_fit(config: Config) -> None:
    ran(config, stages(one={"x": 1, "rounds": 2}))
    assert ran(config, stages(one={"x": 1})) == ["one", "two"]


def test_new_records_hold_what_this_version_says(config: Config) -> None:
    (wanted, after) = wanted_records(config, stages(one={"x": 1}, formerly=rounds_are_two))
    (plain, plain_after) = wanted_records(config, stages(one={"x": 1}))
    assert (wanted.record, after.record) == (plain.record, plain_after.record)
    assert len(wanted.formerly - {wanted.record.fingerprint}) == 1
    assert len(after.formerly - {after.record.fingerprint}) == 1
    assert plain.formerly == plain_after.formerly == frozenset()


def test_a_record_counts_only_beside_its_folder_and_when_finished(config: Config) -> None:
    run = RunFolder(config.folder)
    (wanted, _) = wanted_records(config, stages(one={"x": 1}))
    assert not is_finished(run, "one", wanted)
    run.stage("one").mkdir(parents=True)
    assert not is_finished(run, "one", wanted)
    write_record(run, "one", wanted.record)
    assert not is_finished(run, "one", wanted)
    write_record(run, "one", finished_in(1.5, wanted.record))
    assert is_finished(run, "one", wanted)
    run.stage("one").rmdir()
    assert not is_finished(run, "one", wanted)

"""How many queries are measured when time is short."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Recorder

from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.loading import load_config
from crossforge_train.evaluation.query_limits import LEAST_DEV, LEAST_TEST, QueryLimits, limits_within
from crossforge_train.report.files import read_report
from crossforge_train.stages import evaluate
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages


def limits(seconds: float, dev: int, tests: list[int], depth: int = 200, **given: Any) -> QueryLimits:
    return limits_within(EvaluationConfig(**given), seconds, depth, dev, tests)


def test_with_enough_time_all_are_measured() -> None:
    assert limits(0.1, 300, [300]) == QueryLimits(500, None, 50)
    assert limits(1e9, 300, [300], minutes=None) == QueryLimits(500, None, 50)


def test_dev_gets_a_third_of_the_time_and_the_test_splits_share_the_rest() -> None:
    assert limits(1, 10_000, [10_000], minutes=15) == QueryLimits(300, 600, 50)
    assert limits(1, 10_000, [10_000, 10_000], minutes=15) == QueryLimits(300, 300, 50)
    assert limits(1, 60, [10_000], minutes=15) == QueryLimits(500, 840, 50)  # what dev leaves goes to the tests


def test_what_the_config_sets_is_measured_whatever_it_takes() -> None:
    assert limits(1, 10_000, [10_000], max_queries=2000, max_dev_queries=None) == QueryLimits(None, 2000, 50)
    assert limits(1, 10_000, [10_000], minutes=15, max_dev_queries=400) == QueryLimits(400, 500, 50)


def test_the_deeper_part_of_the_curve_takes_a_fifth_of_the_time_at_most() -> None:
    found = limits(1, 10_000, [10_000], depth=20, minutes=15)  # a query down to 200 costs as much as nine more
    assert found == QueryLimits(240, 480, 20)
    assert limits(10, 10_000, [10_000], depth=20, minutes=15).deep == 0  # two queries are no curve
    assert limits(1, 10_000, [10_000], depth=20, minutes=15, deep_queries=5).deep == 5  # unless they are asked for


@given(st.floats(1e-3, 1e3), st.integers(1, 10**5), st.lists(st.integers(1, 10**5), min_size=1, max_size=3),
       st.sampled_from([20, 75, 200]))  # fmt: skip
def test_the_time_is_kept_as_far_as_the_least_allows(seconds: float, dev: int, tests: list[int], depth: int) -> None:
    found = limits(seconds, dev, tests, depth)
    measured = [min(dev, found.dev or dev), *(min(queries, found.test or queries) for queries in tests)]
    cost = sum(measured) + found.deep * len(tests) * (200 - depth) / depth
    floors = [min(LEAST_DEV, dev), *(min(LEAST_TEST, queries) for queries in tests)]
    assert seconds * cost <= 15 * 60 * 1.001 or any(
        count == floor for count, floor in zip(measured, floors, strict=True)
    )
    assert all(count >= floor for count, floor in zip(measured, floors, strict=True))


def test_a_small_split_has_no_limit() -> None:
    assert limits(1e9, 30, [40]) == QueryLimits(500, None, 50)


def test_a_run_measures_what_the_time_allows_and_says_so(
    toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(toy_run, tmp_path / toy_run.name)
    config, notes = (
        load_config(toy_run.parents[1] / "config.yaml", [f"runs={tmp_path}", "evaluation.minutes=1"]),
        Recorder(),
    )
    monkeypatch.setattr("crossforge_train.stages.subject.query_seconds", lambda *_: 1e6)
    monkeypatch.setattr("crossforge_train.evaluation.query_limits.LEAST_DEV", 3)
    monkeypatch.setattr("crossforge_train.evaluation.query_limits.LEAST_TEST", 4)
    run_stages(config, stages_until(config, "evaluate"), notes)
    report = read_report(config.folder / "evaluate")
    assert [split.queries for split in report.splits] == [4]
    (note,) = [note for note in notes.notes if "evaluation.minutes" in note]
    assert note == "evaluation.minutes: queries measured in 1: dev 3 of 17, test 4 of 24"


def test_a_proof_counts_for_another_time_only_where_the_time_says_nothing(toy_run: Path) -> None:
    def proofs(*overrides: str) -> list[object]:
        """What the stage depends on, by this version's rules and by those of earlier ones, which had no `minutes`."""
        config = load_config(toy_run.parents[1] / "config.yaml", [f"evaluation.{text}" for text in overrides])
        now = evaluate.STAGE.depends_on(config)
        assert evaluate.STAGE.formerly
        return [now, evaluate.STAGE.formerly(config, now)]

    numbers = ("max_queries=null", "max_dev_queries=500")
    (all_measured, _), (default, _) = proofs(*numbers), proofs()
    assert all_measured == proofs(*numbers, "minutes=1")[0] == proofs(*numbers, "minutes=null")[0]
    assert all_measured in proofs()
    assert all_measured in proofs("minutes=null")
    assert default not in proofs("minutes=null")
    assert default not in proofs("minutes=1")
    assert proofs("minutes=null")[0] not in proofs()

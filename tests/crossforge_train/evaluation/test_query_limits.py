"""How many queries are measured when time is short."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Recorder

from crossforge.retrievers.choice import fit_retriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.loading import load_config
from crossforge_train.config.package import PackageConfig
from crossforge_train.config.run import Config
from crossforge_train.evaluation.query_limits import LEAST_DEV, LEAST_TEST, QueryLimits, limits_within
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.report.files import read_report
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import evaluate
from crossforge_train.stages import subject as module
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


@pytest.fixture
def dev(toy_collection: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench of 24 queries on which a candidate takes a hundredth of a second, and the whole model twice as long."""
    seconds = {"shipped": 0.01, "whole": 0.02}
    monkeypatch.setattr(module, "query_seconds", lambda bench, reranker: bench.depth * seconds[reranker])
    monkeypatch.setattr(module, "_query_counts", lambda *_: {"dev": 10_000, "test": 10_000})
    collection = read_beir(toy_collection)
    retriever = fit_retriever(collection.corpus.values())
    run = retriever.search(collection.split_queries("test"), 10)
    return set_up_bench(collection, "test", run, retriever, 100, EvaluationConfig(), 0, SilentReporter())


def config_of(**evaluation: Any) -> Config:
    return Config(name="run", collection={"builtin": "pydocs"}, evaluation={"depths": [10], **evaluation})


@pytest.mark.parametrize(
    ("rivals", "shipped_depth", "expected"),
    [
        (0, 100, 600),  # ten minutes of a second each
        (0, 50, 1200),
        # A third of the time is what ships; the others still have dev's 24 queries to rerank, which is 16 of both.
        (1, 100, 200 - 16),
        (1, 50, 240 - 20),
    ],
)
def test_the_tests_get_all_of_the_time_that_dev_left(
    dev: Bench, rivals: int, shipped_depth: int, expected: int
) -> None:
    on = replace(dev, depth=shipped_depth, rivals_depth=100)
    subject: Any = module.Subject("shipped", on, None, QueryLimits(300, 100, 50))  # type: ignore[arg-type]
    found = module._with_time_left(subject, rivals, "whole", config_of(minutes=15), 5)  # type: ignore[arg-type]
    assert (found.limits.dev, found.limits.test) == (300, expected)
    assert module._with_time_left(subject, rivals, "whole", config_of(minutes=None), 5) is subject  # type: ignore[arg-type]


def test_with_a_budget_the_tests_pay_for_what_ships_and_not_for_all_that_was_tried(
    dev: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(minutes=15).model_copy(update={"package": PackageConfig(budget_ms=100, layers=[4])})
    context: Any = SimpleNamespace(config=config)
    monkeypatch.setattr(module, "_depth", lambda *_: dev.depth)
    monkeypatch.setattr(module, "dev_bench", lambda *_: dev)
    monkeypatch.setattr(module, "_with_students", lambda *_: {None: "model", 4: "student"})
    monkeypatch.setattr(module, "_rerankers", lambda *_: ["whole", "whole"])
    planned: list[QueryLimits] = []

    def within(_: float, bench: Bench, limits: QueryLimits, __: object) -> Any:
        planned.append(limits)
        on = replace(bench, depth=20, rivals_depth=bench.depth)
        return module.Subject("shipped", on, None, limits), 5.0  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_within", within)
    with module.opened_subject(context, dev.collection, dev.retriever, Path("model")) as subject:
        assert planned == [QueryLimits(LEAST_DEV, LEAST_TEST, 50)]
        assert subject.limits.dev == LEAST_DEV
        assert subject.limits.test == pytest.approx((15 - 5) * 60 / 0.2, rel=0.02)


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

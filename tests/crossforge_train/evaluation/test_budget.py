"""What a query may cost: points on dev, which of them ships, and what report and package say of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Recorder, error_line

from crossforge import Document, Reranker
from crossforge.pipeline import RetrieveAndRerank
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation import budget as module
from crossforge_train.evaluation.budget import (
    Budget,
    Point,
    front,
    measure_points,
    milliseconds_by_depth,
    point_within,
)
from crossforge_train.evaluation.query_limits import limits_of
from crossforge_train.evaluation.scoring import score_passage_counts, score_queries
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.report.files import read_report
from crossforge_train.report.tables import budget_header, budget_line, budget_rows
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import subject

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture(scope="module")
def collection(toy_collection: Path) -> Collection:
    found = read_beir(toy_collection)
    # Some documents are longer than the toy model reads.
    longer = {
        doc_id: Document(doc_id, f"{document.text} {'the old boat in the harbour ' * 12}", document.title)
        if number % 3 == 0
        else document
        for number, (doc_id, document) in enumerate(found.corpus.items())
    }
    return replace(found, corpus=longer)


def bench(collection: Collection, depth: int = 12) -> Bench:
    retriever = fit_retriever(collection.corpus.values())
    run = retriever.search(collection.split_queries("train"), 30)
    config = EvaluationConfig(permutations=1000)
    return set_up_bench(collection, "train", run, retriever, depth, config, 0, SilentReporter(), 10)


def point(milliseconds: float, quality: float, depth: int = 10) -> Point:
    return Point(depth, 1, "onnx", milliseconds, quality)


def test_the_fastest_of_the_good_points_within_the_budget_ships() -> None:
    slow, good, nearly, fast = point(90, 0.9), point(50, 0.5), point(30, 0.499), point(10, 0.4)
    points = [slow, good, nearly, fast]
    assert point_within(60, points) == nearly
    assert point_within(20, points) == fast
    assert point_within(100, points) == slow
    assert point_within(9, points) is None
    assert point_within(60, [point(30, 0.0)]) == point(30, 0.0)


def test_the_front_leaves_out_what_is_slower_and_no_better_and_holds_what_ships() -> None:
    points = [point(30, 0.5), point(10, 0.4), point(20, 0.3), point(40, 0.5), point(10, 0.45), point(50, 0.6)]
    assert [(found.milliseconds, found.quality) for found in front(points)] == [(10, 0.45), (30, 0.5), (50, 0.6)]
    draw = np.random.default_rng(0)
    for _ in range(50):
        many = [point(float(took), float(value)) for took, value in draw.integers(1, 9, (12, 2))]
        shipped = point_within(5, many)
        assert shipped is None or shipped in front(many)


def test_students_are_points_like_others_with_a_column_of_their_own() -> None:
    whole, student, slow = point(30, 0.5), replace(point(20, 0.499), layers=4), replace(point(40, 0.5), layers=6)
    shipped = point_within(100, [whole, student, slow])
    assert shipped == student
    found = Budget(100, [whole, student, slow], student)
    assert budget_header(found, "nDCG@10")[:2] == ["layers", "candidates"]
    assert [row[0] for row in budget_rows(found)] == ["4", "all"]
    assert "10 candidates with onnx and the student of 4 layers ship" in budget_line(found)
    alone = Budget(100, [whole], whole)
    assert budget_header(alone, "nDCG@10")[0] == "candidates"
    assert budget_rows(alone)[0][0] == "10"
    assert "student" not in budget_line(alone)


def test_every_depth_is_timed_up_to_the_bench_s(collection: Collection, toy_reranker: Any) -> None:
    on = bench(collection, 25)
    found = milliseconds_by_depth(on, on.pipeline(toy_reranker))
    assert list(found) == [5, 10, 20, 25]
    assert all(took > 0 for took in found.values())
    assert list(milliseconds_by_depth(bench(collection, 3), on.pipeline(toy_reranker))) == [3]


def test_fewer_passages_of_what_was_scored_once_are_what_scoring_them_gives(
    collection: Collection, toy_reranker: Any
) -> None:
    on = bench(collection)

    def pipeline(passages: int) -> RetrieveAndRerank:
        return RetrieveAndRerank(on.collection.corpus, on.retriever, toy_reranker, passages=passages)

    queries = {**on.queries, "too long": "bread " * 200}
    run = {**on.run, "too long": on.run[next(iter(on.run))]}
    once = score_passage_counts(pipeline(3), queries, run, 12, (1, 2, 3), SilentReporter(), "")
    assert list(once) == [1, 2, 3]
    for passages, found in once.items():
        expected = score_queries(pipeline(passages), queries, run, 12, SilentReporter(), "")
        for query_id, scored in expected.items():
            assert found[query_id].doc_ids == scored.doc_ids
            assert found[query_id].read == scored.read == (query_id != "too long")
            assert found[query_id].logits == pytest.approx(scored.logits, abs=1e-5)
            assert found[query_id].cut.tolist() == scored.cut.tolist()
    assert any((once[1][query_id].logits != once[3][query_id].logits).any() for query_id in queries)


def test_a_pair_is_scored_once_for_all_points(
    collection: Collection, toy_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def timing(bench: Bench, *_: object) -> dict[int, float]:
        now[0] += 60
        return {5: 1.0, bench.depth: 2.0}

    monkeypatch.setattr(module, "milliseconds_by_depth", timing)
    scored: list[tuple[str, str]] = []
    score_pairs = Reranker.score_pairs

    def counting(self: Reranker, pairs: Any) -> Any:
        scored.extend(pairs)
        now[0] += 1
        return score_pairs(self, pairs)

    monkeypatch.setattr(Reranker, "score_pairs", counting)
    backends = [Reranker(toy_package, backend=name) for name in ("onnx", "torch")]
    measured, seconds = measure_points(bench(collection), backends)
    assert 0 < seconds < 60, "the timing counts as well"
    assert len(scored) == len(set(scored))
    shapes = {(found.point.depth, found.point.passages, found.point.backend) for found in measured}
    assert shapes == {(d, p, b) for d in (5, 12) for p in (1, 2, 3) for b in ("onnx", "torch")}
    assert {max(len(one.doc_ids) for one in found.scored.values()) for found in measured} == {5, 12}
    assert all(len(one.doc_ids) <= found.point.depth for found in measured for one in found.scored.values())


def test_passages_are_not_tried_where_every_document_is_read_whole(toy_collection: Path, toy_reranker: Any) -> None:
    measured, _ = measure_points(bench(read_beir(toy_collection), 6), [toy_reranker], layers=4)
    assert {(found.point.passages, found.point.layers) for found in measured} == {(1, 4)}


def test_a_budget_picks_what_ships_and_every_form_of_the_report_says_so(
    toy_run: Path, tmp_path: Path, crossforge: Any
) -> None:
    from crossforge_train.config.loading import load_config
    from crossforge_train.stages.recipe import stages_until
    from crossforge_train.stages.runner import run_stages

    shutil.copytree(toy_run, tmp_path / toy_run.name)
    overrides = [f"runs={tmp_path}", "package.budget_ms=60000", "package.int8=true"]
    config, notes = load_config(toy_run.parents[1] / "config.yaml", overrides), Recorder()
    run_stages(config, stages_until(config, "package"), notes)
    assert notes.stages_that("skipped") == ["collect", "mine", "finetune"]
    report = read_report(config.folder / "evaluate")
    assert isinstance(report.budget, Budget)
    shipped = report.budget.shipped
    assert {found.backend for found in report.budget.points} >= {"onnx", "onnx-int8"}
    assert {found.depth for found in report.budget.points} == {5, 10, 20}
    assert (report.depth, report.backend) == (shipped.depth, shipped.backend)
    assert report.tuned.dev["as shipped"] == pytest.approx(shipped.quality)
    assert shipped.quality >= max(found.quality for found in report.budget.points) - 0.002
    (row,) = [row for row in budget_rows(report.budget) if row[-1]]
    assert row[:3] == [str(shipped.depth), str(shipped.passages), shipped.backend]
    package = config.folder / "package"
    line = " | ".join(row)
    assert f"| {line} |" in (package / "README.md").read_text()
    assert f"{shipped.milliseconds:.0f} ms of 60000 a query" in (config.folder / "evaluate/report.html").read_text()
    shown = crossforge("evaluate", toy_run.parents[1] / "config.yaml", *(f"--set={text}" for text in overrides)).out
    assert "quality against latency" in shown
    assert "ships" in shown
    manifest = json.loads((package / "reranker.json").read_text())
    assert (manifest["depth"], manifest["passages"]) == (shipped.depth, shipped.passages)
    assert manifest["backend"] == shipped.backend
    assert Reranker(package).backend_name == shipped.backend


def test_the_alternatives_keep_the_candidates_that_a_budget_is_too_small_for(
    collection: Collection, toy_reranker: Any
) -> None:
    on = bench(collection, 6)
    found, _ = subject._within(60000, on, limits_of(on.config), {None: [toy_reranker]})
    assert found.dev.of_rivals.depth == 6 >= found.dev.depth


def test_a_budget_that_nothing_keeps_to_is_one_line(toy_run: Path, tmp_path: Path, crossforge: Any) -> None:
    shutil.copytree(toy_run, tmp_path / toy_run.name)
    config = toy_run.parents[1] / "config.yaml"
    sets = ["--set", f"runs={tmp_path}", "--set", "package.budget_ms=0.001", "--set", "evaluation.backend=onnx"]
    outcome = crossforge("evaluate", config, *sets, "--quiet")
    # On a busy machine the toy model may take as long for 5 candidates as for 20, so the line may name either.
    line = r"package.budget_ms: 0.001 ms are too few on this machine: \d+ candidates take \S+ ms \(onnx\)$"
    assert re.search(line, error_line(outcome))
    assert not (tmp_path / toy_run.name / "evaluate.partial" / "report.json").exists()


def test_a_package_opens_with_what_it_was_proven_with_where_that_can_be_had(toy_package: Path) -> None:
    from crossforge.backends.choice import EXACT, open_backend

    assert open_backend(toy_package, "auto", {}, EXACT, "torch").name == "torch"
    assert open_backend(toy_package, "auto", {}, EXACT, "onnx-int8").name == "onnx"
    assert open_backend(toy_package, "auto", {}, EXACT, "a plug-in that is not here").name == "onnx"
    assert open_backend(toy_package, "onnx", {}, EXACT, "torch").name == "onnx"


def test_apps_read_as_many_passages_as_the_proof_did(collection: Collection, toy_reranker: Any) -> None:
    retriever = fit_retriever(collection.corpus.values())
    parts = replace(toy_reranker._parts, manifest=replace(toy_reranker.manifest, passages=2))
    on = RetrieveAndRerank(collection.corpus, retriever, Reranker.from_parts(parts))
    longest = max(collection.corpus.values(), key=lambda document: len(document.text))
    assert len(on.passages("bread oven", [longest])[0]) == 2
    assert len(RetrieveAndRerank(collection.corpus, retriever, toy_reranker).passages("bread", [longest])[0]) == 1

"""The free alternatives: what they are made of, how dev settles them, and what the proof makes of them."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from support import Recorder

from crossforge import Document
from crossforge.manifest import read_manifest
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.dense import DenseRetriever
from crossforge.runs import Candidate
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.loading import load_config
from crossforge_train.encoders.embeddings import Embeddings, open_embeddings
from crossforge_train.evaluation import free_alternatives, free_retrievers
from crossforge_train.evaluation.comparison import compare_named
from crossforge_train.evaluation.depth import choose_depth
from crossforge_train.evaluation.free_alternatives import best_of, free_systems
from crossforge_train.evaluation.significance import holm_adjusted, smallest_detectable
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.first_stage import choose_kind, fit_first_stage, vector_part, with_query_map
from crossforge_train.report.files import read_report
from crossforge_train.report.tables import warning_lines
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import subject
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture(scope="module")
def collection(toy_collection: Path) -> Collection:
    return read_beir(toy_collection)


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, quickly: None) -> Embeddings:
    found = open_embeddings(str(tiny_encoder), None, tmp_path_factory.mktemp("runs"), SilentReporter())
    assert found is not None
    return found


def bench(collection: Collection, retriever: Any, split: str = "test") -> Bench:
    run = retriever.search(collection.split_queries(split), 30)
    config = EvaluationConfig(permutations=1000)
    return set_up_bench(collection, split, run, retriever, 10, config, 0, SilentReporter())


def names(systems: list[Any]) -> list[str]:
    return [system.name for system in systems]


EVERY = ["BM25", "BM25, whole corpus", "base as bi-encoder", "base as bi-encoder, fused"]


def test_a_lexical_first_stage_gets_every_alternative(collection: Collection, embeddings: Embeddings) -> None:
    lexical = fit_retriever(collection.corpus.values())
    on, dev = bench(collection, lexical), bench(collection, lexical, "train")
    free = free_retrievers.free_retrievers(lexical, collection, [on.run], embeddings, dev=dev)
    systems = free_systems(on, free)
    assert names(systems) == [*EVERY, "dense, whole corpus", "hybrid, whole corpus"]
    # The same candidates in another order, those below the depth as they were.
    cosine = systems[2].rankings
    for query_id, candidates in on.run.items():
        found = [candidate.doc_id for candidate in candidates]
        assert sorted(cosine[query_id]) == sorted(found)
        assert cosine[query_id][10:] == found[10:]
    assert free.hybrid is not None
    assert free.hybrid.weight is not None


def test_what_the_first_stage_is_itself_is_not_measured_twice(collection: Collection, embeddings: Embeddings) -> None:
    documents = collection.corpus.values()
    hybrid = fit_first_stage(documents, FirstStageConfig(kind="hybrid"), embeddings, 0.5)
    dense = fit_first_stage(documents, FirstStageConfig(kind="dense"), embeddings)
    for first_stage, expected in ((hybrid, "dense, whole corpus"), (dense, "hybrid, whole corpus")):
        on = bench(collection, first_stage)
        free = free_retrievers.free_retrievers(first_stage, collection, [on.run], embeddings)
        assert names(free_systems(on, free)) == [*EVERY, expected]


def test_free_alternatives_have_no_query_map(collection: Collection, embeddings: Embeddings) -> None:
    documents, turned = collection.corpus.values(), np.eye(32, dtype=np.float32)[::-1].copy()
    for kind in ("hybrid", "dense"):
        plain = fit_first_stage(documents, FirstStageConfig(kind=kind), embeddings, 0.5)
        moved = with_query_map(plain, turned)
        on = bench(collection, moved)
        free = free_retrievers.free_retrievers(moved, collection, [on.run], embeddings)
        systems = {system.name: system.rankings for system in free_systems(on, free)}
        assert list(systems) == [*EVERY, "dense, whole corpus", "hybrid, whole corpus"]
        dense = plain if kind == "dense" else vector_part(plain)
        assert dense is not None
        assert free.beside is not None
        assert free.beside.name == "BM25"  # the first stage's own score has the map in it
        assert systems["base as bi-encoder, fused"] != systems["base as bi-encoder"]
        for key, candidates in dense.search(on.queries, 10).items():
            assert systems["dense, whole corpus"][key][:10] == [candidate.doc_id for candidate in candidates]


def test_candidates_alone_are_embedded_where_the_corpus_takes_too_long(
    collection: Collection, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lexical = fit_retriever(collection.corpus.values())
    on = bench(collection, lexical)
    whole = free_systems(on, free_retrievers.free_retrievers(lexical, collection, [on.run], embeddings))
    monkeypatch.setattr(Embeddings, "seconds", lambda *_: 1e6)
    found = free_systems(on, free_retrievers.free_retrievers(lexical, collection, [on.run], embeddings, bm25=False))
    assert names(found) == EVERY[2:]
    assert found[0].rankings == whole[2].rankings
    without = free_retrievers.free_retrievers(lexical, collection, [on.run], None)
    assert names(free_systems(on, without)) == EVERY[:2]


@pytest.mark.parametrize(("kind", "halved"), [("lexical", True), ("run", False)])
def test_a_comparison_mistrusts_pseudo_queries_behind_a_lexical_first_stage_alone(
    collection: Collection, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch, kind: str, halved: bool
) -> None:
    mistrusted = []

    def chosen(*_: object, pseudo: bool, **__: object) -> float:
        mistrusted.append(pseudo)
        return 0.5

    monkeypatch.setattr(free_alternatives, "choose_fusion_weight", chosen)
    lexical = fit_retriever(collection.corpus.values())
    made = replace(collection, query_fields={key: {"pseudo_query": "title"} for key in collection.queries})
    on, dev = (replace(bench(made, lexical, split), other_kind=kind) for split in ("test", "train"))
    free = free_retrievers.free_retrievers(lexical, made, [on.run], embeddings)
    compare_named(on, ["bm25"], {}, free, dev)
    assert mistrusted == [halved]


def test_auto_is_hybrid_within_ten_minutes_and_lexical_beyond_or_without_a_bi_encoder(
    collection: Collection, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents, auto = collection.corpus.values(), FirstStageConfig()
    chosen = choose_kind(documents, auto, embeddings)
    assert chosen.kind == "hybrid"
    assert "embedding 72 documents" in chosen.why
    assert choose_kind(documents, auto, None).kind == "lexical"
    assert choose_kind(documents, FirstStageConfig(kind="lexical"), embeddings).why == ""
    monkeypatch.setattr(Embeddings, "seconds", lambda *_: 601)
    chosen = choose_kind(documents, auto, embeddings)
    assert chosen.kind == "lexical"
    assert chosen.why.startswith("embedding 72 documents")
    assert chosen.why.endswith("takes about 10 min; first_stage.kind: hybrid does it all the same")


def test_a_corpus_that_is_embedded_takes_no_time(collection: Collection, embeddings: Embeddings) -> None:
    fit_first_stage(collection.corpus.values(), FirstStageConfig(kind="dense"), embeddings)
    assert embeddings.seconds(collection.corpus.values()) == 0
    assert embeddings.seconds([Document("new", "bread and boats, never seen before")]) > 0


def test_the_depth_is_the_smallest_beyond_which_a_perfect_reranker_gains_little() -> None:
    def run(rank: int) -> dict[str, list[Candidate]]:
        return {"q": [Candidate("good" if n == rank else f"d{n}", -n) for n in range(1, 201)]}

    qrels = {"q": {"good": 1}}
    assert [choose_depth(run(rank), qrels, "nDCG@10") for rank in (1, 20, 21, 60, 180)] == [20, 20, 30, 75, 200]
    assert choose_depth({"q": run(1)["q"][:7]}, qrels, "nDCG@10") == 20
    assert choose_depth({}, qrels, "nDCG@10") == 20


def test_the_best_on_dev_decides_and_the_first_of_equals() -> None:
    assert best_of({"a": 0.2, "b": 0.3, "c": 0.3, "not free": 0.9}, ["a", "b", "c"]) == "b"
    assert best_of({}, []) is None


def test_only_what_is_reranked_of_the_candidates_has_to_be_embedded(
    collection: Collection, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Embeddings, "seconds", lambda *_: 601)
    on = replace(bench(collection, fit_retriever(collection.corpus.values())), depth=3, rivals_depth=5)
    free = free_retrievers.free_retrievers(on.retriever, collection, [on.of_rivals.candidates], embeddings)
    assert isinstance(free.bi_encoder, DenseRetriever)
    found = {one.doc_id for candidates in on.run.values() for one in candidates[:5]}
    assert set(free.bi_encoder.doc_ids) == found < set(collection.corpus)
    assert len(free_systems(on, free)) == len(EVERY)


def test_one_query_shows_no_difference() -> None:
    assert smallest_detectable(np.array([0.5]), 0.05, 1) is None


@pytest.mark.parametrize("same", [0.0, 0.1])
def test_differences_without_a_spread_do_not_show_all_differences(same: float) -> None:
    assert smallest_detectable(np.full(30, same), 0.05, 1) is None


def test_a_difference_of_the_detectable_size_is_shown_four_times_in_five() -> None:
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 0.2, 100)
    size = smallest_detectable(noise, 0.05, 1)
    assert size == pytest.approx(2.8 * noise.std(ddof=1) / 10, rel=0.01)
    samples = draw.normal(size, noise.std(ddof=1), (4000, 100))
    shown = np.abs(samples.mean(axis=1)) / (samples.std(axis=1, ddof=1) / 10) > 1.984
    assert shown.mean() == pytest.approx(0.8, abs=0.03)


def test_a_difference_of_the_detectable_size_is_shown_as_often_after_the_correction() -> None:
    draw, family = np.random.default_rng(0), 3
    noise = draw.normal(0, 0.2, 100)
    size = smallest_detectable(noise, 0.05, family)
    samples = draw.normal(size, noise.std(ddof=1), (4000, family, 100))  # each system is better by as much
    z = samples.mean(axis=2) / (samples.std(axis=2, ddof=1) / 10)
    p_values = 2 * norm.sf(np.abs(z))
    shown = [found < 0.05 for row in p_values for found in holm_adjusted(row)]
    assert 0.8 <= np.mean(shown) < 0.95, "the corrected level is that of the first comparison"


def test_the_verdict_is_also_against_the_best_free_alternative(toy_run: Path) -> None:
    report = read_report(toy_run / "evaluate")
    (split,) = report.splits
    decisive = [found.baseline for found in split.comparisons if found.decisive]
    assert decisive == ["first stage", report.tuned.best_free]
    dev = {name: value for name, value in report.tuned.dev.items() if name not in SHIPS}
    assert dev[report.tuned.best_free] == max(dev.values())
    assert all(found.detectable > 0 for found in split.comparisons if found.p_value < 1)


SHIPS = ("first stage", "reranker alone", "as shipped")


def test_dev_queries_that_are_not_reranked_choose_the_best_free_alternative(toy_run: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_run, tmp_path / toy_run.name)
    overrides = [f"runs={tmp_path}", "evaluation.max_dev_queries=4"]
    config, notes = load_config(toy_run.parents[1] / "config.yaml", overrides), Recorder()
    run_stages(config, stages_until(config, "evaluate"), notes)
    assert notes.stages_that("skipped") == ["collect", "mine", "finetune"]
    few, all_of_dev = read_report(config.folder / "evaluate").tuned, read_report(toy_run / "evaluate").tuned
    assert few.free_queries > 4
    assert not all_of_dev.free_dev  # the reranker was measured on all of them
    free = {name: value for name, value in all_of_dev.dev.items() if name not in SHIPS}
    assert few.free_dev == pytest.approx(free)
    assert (few.best_free, few.free_fusion_weight) == (all_of_dev.best_free, all_of_dev.free_fusion_weight)
    assert few.dev["first stage"] != all_of_dev.dev["first stage"]
    page = (config.folder / "evaluate" / "report.html").read_text()
    assert f"best free alternative was chosen on {few.free_queries} queries of dev" in page


def test_what_does_not_win_is_told_what_to_use_instead(toy_run: Path) -> None:
    (split,) = read_report(toy_run / "evaluate").splits
    first, second = (
        replace(found, verdict=verdict, baseline=name)
        for found, verdict, name in zip(
            split.comparisons, ("TIE", "WIN"), ("first stage", "base as bi-encoder"), strict=False
        )
    )
    lines = warning_lines(replace(split, comparisons=[first, second]), "nDCG@10")
    assert lines[0] == (
        "use the first stage instead: it does as well and costs nothing more "
        "(take its order as it is, without a reranker)"
    )
    assert lines[1].startswith("only 24 queries: the verdict hangs on a handful of them")
    lines = warning_lines(replace(split, comparisons=[first, replace(second, verdict="REGRESSION")]), "nDCG@10")
    assert lines[0].startswith("use base as bi-encoder instead: it is better (order the candidates by")
    lines = warning_lines(replace(split, comparisons=[replace(first, verdict="WIN"), second]), "nDCG@10")
    assert not any("instead" in line for line in lines)
    old = replace(split.systems[0], name="old-package")
    named = replace(split, systems=[old], comparisons=[replace(first, baseline=old.name)])
    lines = warning_lines(named, "nDCG@10")
    assert lines[0] == "use old-package instead: it is the baseline and does as well"


def test_a_hybrid_run_serves_mining_proof_package_and_search(
    toy_run: Path, tmp_path: Path, crossforge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "depth_that_suffices", lambda *_: 7)
    config_file = toy_run.parents[1] / "config.yaml"
    shutil.copytree(toy_run, tmp_path / toy_run.name)
    overrides = [f"runs={tmp_path}", "first_stage.kind=auto", "evaluation.depth=auto", "training.evaluations=1"]
    config, notes = load_config(config_file, overrides), Recorder()
    run_stages(config, stages_until(config, "package"), notes)
    assert notes.stages_that("skipped") == ["collect"]
    assert any(note.startswith("first stage: hybrid; embedding 72 documents") for note in notes.notes)
    report = read_report(config.folder / "evaluate")
    assert report.first_stage.startswith("BM25 + dense (words, stemmed in english; ")
    assert "evaluation.depth: 20, by the ceiling on dev" in notes.notes
    assert "evaluation.depth: 7, since what would ship gains nothing from more on dev" in notes.notes
    assert report.depth == read_manifest(config.folder / "package").depth == 7
    assert "hybrid, whole corpus" not in [system.name for system in report.splits[0].systems]
    examples = [*report.splits[0].best, *report.splits[0].worst]
    assert {part for example in examples for found in example.after for part in found.found_by} == {"BM25", "dense"}
    page = (config.folder / "evaluate" / "report.html").read_text()
    assert re.search(r'<span class="muted">(BM25|dense) \d+', page)
    package = config.folder / "package"
    shown = crossforge("search", package, "bread oven yeast", "--compare", "-k", 3)
    assert "BM25 + dense" in shown.out
    assert "found by" in shown.out
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("bread from the oven\na boat on the tide\n")
    assert crossforge("search", package, "bread oven", "--corpus", corpus, "--json").json["results"][0]["doc_id"] == "0"
    shown = crossforge("search", package, "bread oven", "--corpus", corpus, "--lexical", "--compare")
    assert "TF-IDF" in shown.out
    assert "found by" not in shown.out
    found = crossforge("search", package, "bread oven", "--corpus", corpus, "--lexical", "--json").json["results"]
    assert [result["score"] for result in found] == sorted((result["score"] for result in found), reverse=True)
    card = (package / "README.md").read_text()
    assert "First stage: BM25 + dense" in card
    assert "That first stage was chosen automatically: embedding 72 documents" in card

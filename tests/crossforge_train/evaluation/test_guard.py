"""The guard against forgetting: what it concludes, where it says so, and that nothing changes without it."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Recorder, write_collection
from transformers import AutoModel, BertConfig

from crossforge import Reranker
from crossforge.errors import InputError
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.api.measuring import Measurement, compare
from crossforge_train.api.report import Report as Shown
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.evaluation.guard import Guard, base_order, guard_bench, measure_guard, outcome
from crossforge_train.evaluation.outcome import Report
from crossforge_train.report.files import read_report, write_report
from crossforge_train.report.markdown import markdown
from crossforge_train.report.page import page
from crossforge_train.report.tables import guard_line
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import evaluate
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

GUARD = Guard("general", "test", 24, "nDCG@10", "base model", 0.5, 0.4, -0.1, (-0.15, -0.05), 0.01, "FORGOTTEN")


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that the toy run was not trained on."""
    return write_collection(tmp_path_factory.mktemp("guard") / "general", seed=7)


def guarded(toy_run: Path, general: Path, *overrides: str) -> Config:
    return load_config(toy_run.parents[1] / "config.yaml", [f"evaluation.guard.beir={general}", *overrides])


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((-0.009, 0.02), "HELD"),
        ((-0.009, -0.001), "HELD"),
        ((0.01, 0.02), "HELD"),
        ((-0.01, 0.02), "NOT SHOWN"),
        ((-0.2, 0.0), "NOT SHOWN"),
        ((-0.02, -0.001), "FORGOTTEN"),
        ((-0.2, -0.1), "FORGOTTEN"),
    ],
)
def test_the_interval_of_the_difference_decides(interval: tuple[float, float], expected: str) -> None:
    assert outcome(interval, 0.01) == expected


def test_a_model_forgets_nothing_against_itself(toy_run: Path, toy_package: Path, general: Path) -> None:
    config = guarded(toy_run, general)
    assert config.evaluation.guard is not None
    guard, reranker = config.evaluation.guard, Reranker(toy_package)
    found = measure_guard(guard, config, reranker, toy_package, None, 20, SilentReporter())
    assert (found.baseline, found.outcome) == ("base model", "HELD")
    assert found.difference == 0
    assert found.before == found.after > 0


def test_a_bi_encoder_orders_the_same_candidates_by_cosine(toy_run: Path, tiny_encoder: Path, general: Path) -> None:
    from sentence_transformers import SentenceTransformer

    config = guarded(toy_run, general, "evaluation.guard.max_queries=5")
    assert config.evaluation.guard is not None
    bench = guard_bench(config.evaluation.guard, config, 20, SilentReporter())
    found = base_order(bench, tiny_encoder, base_embeddings(config, SilentReporter()))
    with pytest.raises(InputError, match="an encoder that cannot rank, so nothing can be forgotten"):
        base_order(bench, tiny_encoder, None)
    assert len(found) == 5
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    for query_id, order in found.items():
        assert set(order) == {candidate.doc_id for candidate in bench.run[query_id]}
        texts = [bench.collection.corpus[doc_id].full_text for doc_id in order[:20]]
        vectors = model.encode([bench.queries[query_id], *texts], normalize_embeddings=True)
        assert (np.diff(vectors[1:] @ vectors[0]) <= 2e-3).all()  # stored in float16


def test_the_measured_queries_alone_are_searched(general: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []
    search = TfidfRetriever.search

    def searched(self: TfidfRetriever, queries: dict[str, str], *arguments: Any, **options: Any) -> Any:
        asked.append(set(queries))
        return search(self, queries, *arguments, **options)

    monkeypatch.setattr(TfidfRetriever, "search", searched)
    evaluation = {"guard": {"beir": general, "max_queries": 5}}
    config = Config(name="toy", collection={"builtin": "pydocs"}, evaluation=evaluation)
    assert config.evaluation.guard is not None
    bench = guard_bench(config.evaluation.guard, config, 20, SilentReporter())
    assert asked == [set(bench.queries)]
    assert len(bench.queries) == 5
    drawn = compare(["bm25"], general, Measurement(max_queries=5))
    assert drawn.splits[0].queries == 5
    assert {len(queries) for queries in asked} == {5}


def test_a_base_that_cannot_rank_is_refused_before_training(toy_run: Path, general: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    settings = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    AutoModel.from_config(settings).save_pretrained(plain)
    shutil.copy(toy_run / "package" / "tokenizer.json", plain)
    config = guarded(toy_run, general, f"base_model={plain}")
    with pytest.raises(InputError, match=r"evaluation.guard: .*plain is an encoder that cannot rank"):
        evaluate.STAGE.depends_on(config)


def test_what_the_base_reads_is_measured_again_if_it_changes(toy_run: Path, general: Path) -> None:
    def depends_on(kind: str, tokens: str) -> object:
        asked = (f"first_stage.kind={kind}", f"first_stage.encoder_max_length={tokens}")
        return evaluate.STAGE.depends_on(guarded(toy_run, general, *asked))

    assert depends_on("lexical", "128") != depends_on("lexical", "64")
    assert depends_on("lexical", "null") == depends_on("hybrid", "128")  # the stage `mine` sees to it there


@pytest.mark.usefixtures("quickly")
def test_a_run_says_what_it_forgot_and_packages_anyway(toy_run: Path, general: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_run, tmp_path / toy_run.name)
    config, notes = guarded(toy_run, general, f"runs={tmp_path}", "evaluation.guard.margin=0.001"), Recorder()
    run_stages(config, stages_until(config, "package"), notes)
    assert notes.stages_that("started") == ["evaluate", "package"]
    report = read_report(config.folder / "evaluate")
    assert report.guard is not None
    assert (report.guard.collection, report.guard.queries, report.guard.baseline) == (
        "general", 24, "base model by cosine",
    )  # fmt: skip
    sentence = guard_line(report.guard)
    assert sentence.startswith(report.guard.outcome)
    for path in ("evaluate/report.md", "package/README.md"):
        assert sentence in (config.folder / path).read_text()


def test_the_sentence_stands_wherever_the_report_does(toy_run: Path, tmp_path: Path) -> None:
    old = read_report(toy_run / "evaluate")
    assert old.guard is None
    assert "which it was not trained for" not in markdown(old) + page(old)
    report: Report = replace(old, guard=GUARD)
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report
    sentence = (
        "FORGOTTEN on general (test), which it was not trained for: it is worse than the base model, and may be so by "
        "more than the 0.01 that is accepted (nDCG@10 0.400 against 0.500, -0.100 [-0.150, -0.050], 24 queries)"
    )
    assert guard_line(GUARD) == sentence
    for text in (markdown(report), page(report), Shown.of(report)._repr_html_()):
        assert sentence in text
    assert guard_line(replace(GUARD, judges={"people": 24})).endswith("24 queries, judged by people)")


def test_the_screen_shows_it(toy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from crossforge_train.cli.display import show_report

    show_report(Shown.of(replace(read_report(toy_run / "evaluate"), guard=GUARD)))
    assert guard_line(GUARD) in capsys.readouterr().out


def test_only_a_guard_changes_the_fingerprint(toy_run: Path, general: Path, tmp_path: Path) -> None:
    without = load_config(toy_run.parents[1] / "config.yaml")
    assert "guard" not in str(evaluate.STAGE.depends_on(without))
    shutil.copytree(general, tmp_path / "copy")
    before = evaluate.STAGE.depends_on(guarded(toy_run, tmp_path / "copy"))
    (tmp_path / "copy" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq50\tchess-1\t1\n")
    assert evaluate.STAGE.depends_on(guarded(toy_run, tmp_path / "copy")) != before


def test_a_collection_that_is_not_there_is_told_before_training(toy_run: Path, general: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        evaluate.STAGE.depends_on(guarded(toy_run, tmp_path / "none"))
    with pytest.raises(InputError, match=r"evaluation\.guard: .* has no split 'sea'; it has test, train"):
        evaluate.STAGE.depends_on(guarded(toy_run, general, "evaluation.guard.split=sea"))

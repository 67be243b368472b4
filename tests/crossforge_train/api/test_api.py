"""`import crossforge_train`: a run, its report and its package without the command line."""

from __future__ import annotations

import doctest
import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import crossforge_train as ct
from crossforge import Reranker
from crossforge.errors import InputError
from crossforge.files import read_jsonl
from crossforge.prompts import Prompts
from crossforge_train.api import measuring

ROOT = Path(__file__).parents[3]
MODULES = ("adapting", "budgeting", "collection", "measuring", "report", "running")


@pytest.fixture(scope="module")
def frames(toy_collection: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Documents, queries and judgements of the toy collection."""
    documents = pd.DataFrame([row for _, row in read_jsonl(toy_collection / "corpus.jsonl")])
    queries = pd.DataFrame([row for _, row in read_jsonl(toy_collection / "queries.jsonl")])
    judgements = pd.concat(
        pd.read_csv(path, sep="\t").assign(split=path.stem) for path in sorted((toy_collection / "qrels").glob("*.tsv"))
    )
    return (
        documents.rename(columns={"_id": "doc_id"}),
        queries.rename(columns={"_id": "query_id"}),
        judgements.rename(columns={"query-id": "query_id", "corpus-id": "doc_id", "score": "relevance"}),
    )


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory,
    frames: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    tiny_encoder: Path,
    quickly: None,
) -> ct.Run:
    """A run from data frames to the package."""
    folder = tmp_path_factory.mktemp("api")
    collection = ct.Collection.from_dataframe(*frames, name="toy")
    config = ct.load_config(
        {
            "name": "mine",
            "runs": folder / "runs",
            "base_model": str(tiny_encoder),
            "collection": {"beir": collection.to_beir(folder / "toy"), "dev": 0.25},
            "mining": {"negatives": 2, "teacher": None},
            "training": {
                "max_length": 48, "epochs": 0.3, "evaluations": 1, "precision": "fp32", "learning_rate": 1e-3,
                "head_learning_rate": 1e-2, "merge": [], "distillation_weight": 0,
            },
            "evaluation": {"depth": 10, "permutations": 1000, "bm25": False, "latency_queries": 0},
        },
        ["package.allow_regression=true"],
    )  # fmt: skip
    return ct.run(config)


def test_a_run_says_nothing_and_gives_report_and_reranker(done: ct.Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert ct.run(done.config).folder == done.folder  # nothing is left to do
    assert capsys.readouterr() == ("", "")
    assert done.report.verdict in ("WIN", "TIE", "REGRESSION")
    assert done.report.collection == "toy"
    assert len(done.reranker().score("bread oven", ["bread", "a boat"])) == 2
    assert done.folder.finetuned.history.groups > 0


def test_a_report_becomes_a_frame(done: ct.Run) -> None:
    frame = done.report.to_frame().set_index("system")
    free = ["base as bi-encoder", "base as bi-encoder, fused", "dense, whole corpus"]
    assert list(frame.index) == ["first stage", *free, "reranker alone", "as shipped"]
    assert set(frame["split"]) == {"test"}
    means = {system.name: system.means["nDCG@10"] for system in done.report.splits[0].systems}
    assert frame["nDCG@10"].to_dict() == means
    assert (frame["low"] <= frame["nDCG@10"]).all()
    shipped = frame.loc["as shipped"]
    assert shipped["difference"] == pytest.approx(means["as shipped"] - means["first stage"])
    assert shipped["verdict"] == done.report.verdict
    assert pd.isna(frame.loc["first stage", "difference"])


def test_a_report_shows_itself_in_a_notebook_and_as_a_page(done: ct.Run, tmp_path: Path) -> None:
    html = done.report._repr_html_()
    assert html.count("<tr>") == 8  # header, six systems, the ceiling
    assert f"mine: {done.report.verdict}" in html
    assert done.report.to_html() == done.folder.evaluated.page.read_text()
    assert (done.report.save(tmp_path / "saved") / "report.html").is_file()


def test_a_reranker_is_measured_on_a_collection(done: ct.Run, toy_collection: Path, tmp_path: Path) -> None:
    asked = ct.Measurement(depth=10, max_queries=8)
    report = ct.evaluate(done.package, ct.Collection.from_beir(toy_collection), asked, save_to=tmp_path / "out")
    assert (report.splits[0].queries, report.depth) == (8, 10)
    assert (tmp_path / "out" / "report.html").is_file()
    assert ct.evaluate(Reranker(done.package), toy_collection, asked).splits[0].systems == report.splits[0].systems


def test_the_base_embeds_with_the_prompts_of_what_was_made_of_it(
    done: ct.Run, toy_collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Prompts | None] = []

    def opened(*arguments: object, prompts: Prompts | None = None, **others: object) -> None:
        given.append(prompts)

    monkeypatch.setattr(measuring, "open_embeddings", opened)
    prompts = Prompts("the query ", "old text ")
    for reranker in (Reranker(done.package), Reranker(done.package, prompts=prompts)):
        ct.evaluate(reranker, toy_collection, ct.Measurement(depth=10, max_queries=8))
    assert given == [None, prompts]


def test_a_package_is_measured_behind_the_first_stage_of_its_proof(
    done: ct.Run, toy_collection: Path, tmp_path: Path
) -> None:
    assert Reranker(done.package).manifest.first_stage == "hybrid"
    asked = ct.Measurement(runs=done.config.runs)
    report = ct.evaluate(done.package, toy_collection, asked)
    assert report.depth == 10  # as in the proof
    again = {system.name: system.means for system in report.splits[0].systems}
    shown = {system.name: system.means for system in done.report.splits[0].systems}
    assert {name: again[name] for name in ("first stage", "reranker alone", "as shipped")} == {
        name: pytest.approx(shown[name]) for name in ("first stage", "reranker alone", "as shipped")
    }
    words = ct.compare([done.package], toy_collection, replace(asked, lexical=True))
    means = {system.name: system.means for system in words.splits[0].systems}
    assert "hybrid, whole corpus" in means  # free where the first stage is another
    assert means["first stage"] != shown["first stage"]


def test_systems_are_compared(done: ct.Run, toy_collection: Path) -> None:
    report = ct.compare(["bm25", done.package], toy_collection, ct.Measurement(depth=10, max_queries=8))
    assert report.splits[0].baseline == "BM25"
    assert {"BM25", "package"} <= {system.name for system in report.splits[0].systems}


def test_a_compared_reranker_is_loaded_once(
    tiny_scorer: Path, toy_collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    load = Reranker.__init__

    def counted(self: Reranker, source: str | Path, *arguments: Any, **options: Any) -> None:
        loaded.append(source)
        load(self, source, *arguments, **options)

    monkeypatch.setattr(Reranker, "__init__", counted)
    ct.compare([tiny_scorer], toy_collection, ct.Measurement(depth=5, max_queries=3, lexical=True))
    assert loaded == [str(tiny_scorer)]


def test_a_report_that_cannot_be_written_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    for call in (lambda place: ct.evaluate("nowhere", "nothing", save_to=place),
                 lambda place: ct.compare(["nowhere"], "nothing", save_to=place)):  # fmt: skip
        with pytest.raises(InputError, match=r"config.yaml: is a file; name a folder for a report$"):
            call(tmp_path / "config.yaml")
        with pytest.raises(InputError, match="a report needs a path on a file system, not a URI"):
            call("s3://bucket/report")


@pytest.mark.parametrize("given", [{"depth": 0}, {"depth": 1}, {"max_queries": -1}, {"max_queries": 2.5}])
def test_a_measurement_of_impossible_numbers_is_refused(given: dict[str, Any]) -> None:
    ((name, value),) = given.items()
    with pytest.raises(InputError, match=f"{name} is {value}; expected a whole number of"):
        ct.Measurement(**given)


@pytest.mark.parametrize("systems", [[], "bm25", Path("package")])
def test_no_list_of_systems_is_refused(systems: Any) -> None:
    with pytest.raises(InputError, match="expected a list such as"):
        ct.compare(systems, "nothing")


def test_a_run_file_whose_name_is_not_utf_8_is_compared(toy_collection: Path, tmp_path: Path) -> None:
    query_id, *_ = ct.Collection.from_beir(toy_collection).splits["test"]
    runs = [tmp_path / os.fsdecode(name) for name in (b"old-\xff", b"old-\xfe")]
    for path in runs:
        path.write_text(f"{query_id} Q0 baking-0 1 1.0 any\n")
    report = ct.compare(runs, toy_collection, save_to=tmp_path / "out")
    assert (report.splits[0].baseline, report.splits[0].subject) == (r"old-\udcff", r"old-\udcfe")
    assert (tmp_path / "out" / "runs" / r"test.old-\udcff.trec").is_file()


def test_what_is_worse_is_refused_with_its_report(done: ct.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    config = done.config.model_copy(
        update={"package": done.config.package.model_copy(update={"allow_regression": False})}
    )
    worse = ct.Report(**{**vars(done.report), "verdict": "REGRESSION"})
    monkeypatch.setattr("crossforge_train.stage_folders.read_report", lambda folder: worse)
    with pytest.raises(ct.RegressionError, match="verdict REGRESSION") as refused:
        ct.run(config)
    assert refused.value.report == worse
    assert done.package.is_dir()  # the package from before is still there


def test_pairs_and_data_sets_become_collections() -> None:
    import datasets

    pairs = [("how hot an oven", "Bread bakes at 230 degrees."), ("what catches wind", "Sails catch wind.")]
    of_pairs = ct.Collection.from_pairs({"train": pairs[:1], "test": pairs[1:]})
    assert {split: len(found) for split, found in of_pairs.splits.items()} == {"train": 1, "test": 1}
    rows = {"query": [query for query, _ in pairs], "text": [text for _, text in pairs]}
    of_pairs = ct.Collection.from_pairs(pairs)
    assert vars(ct.Collection.from_dataset(datasets.Dataset.from_dict(rows), name="pairs"))["splits"] == of_pairs.splits
    labelled = datasets.DatasetDict({"test": datasets.Dataset.from_dict({**rows, "label": [1, 0]})})
    (judged,) = ct.Collection.from_dataset(labelled).splits.values()
    assert sorted(label for found in judged.values() for label in found.values()) == [0, 1]


def test_a_frame_that_does_not_fit_is_named(frames: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]) -> None:
    documents, queries, judgements = frames
    with pytest.raises(InputError, match="documents, row 1: there is no column 'text'"):
        ct.Collection.from_dataframe(documents.drop(columns="text"), queries, judgements)
    with pytest.raises(InputError, match="judgements, test, row 1: there is no query 'q"):
        ct.Collection.from_dataframe(documents, queries.iloc[:0], judgements)
    missing = documents.assign(text=documents["text"].where(documents.index != 3))
    with pytest.raises(InputError, match="documents, row 4: column 'text' holds nothing"):
        ct.Collection.from_dataframe(missing, queries, judgements)
    unnamed = judgements.assign(split=judgements["split"].where(judgements.index != 3))
    with pytest.raises(InputError, match="judgements, row 4: column 'split' holds nothing"):
        ct.Collection.from_dataframe(documents, queries, unnamed)
    with pytest.raises(InputError, match="judgements: nothing reads the labels in column 'label'; call it relevance"):
        ct.Collection.from_dataframe(documents, queries, judgements[["query_id", "doc_id"]].assign(label=0))
    with pytest.raises(InputError, match="pairs, train: no pairs in it"):
        ct.Collection.from_pairs([])


def test_lists_in_a_data_frame_are_kept_as_a_parquet_file_gives_them(tmp_path: Path) -> None:
    rows = {"doc_id": ["a", "b"], "text": ["x", "y"], "tags": [["new", "red"], ["old"]], "n": [1, 2],
            "sizes": [[[1, 2], [3]], []], "maker": [{"towns": ["Ulm"]}, {"towns": []}]}  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "documents.parquet")
    documents = pd.read_parquet(tmp_path / "documents.parquet")
    queries = pd.DataFrame({"query_id": ["q"], "text": ["what"], "customers": [np.array(["c1", "c2"])]})
    found = ct.Collection.from_dataframe(documents, queries, pd.DataFrame({"query_id": ["q"], "doc_id": ["a"]}))
    assert found.corpus["a"].metadata == {
        "tags": ["new", "red"], "n": 1, "sizes": [[1, 2], [3]], "maker": {"towns": ["Ulm"]},
    }  # fmt: skip
    assert found.corpus["b"].metadata["tags"] == ["old"]
    assert found.query_fields == {"q": {"customers": ["c1", "c2"]}}
    found.to_beir(tmp_path / "beir")


def test_a_config_in_python_is_checked_like_a_file() -> None:
    with pytest.raises(InputError, match=r"^config: .*unknown key collections; did you mean collection\?"):
        ct.load_config({"name": "mine", "collections": {}})
    values: dict = {"name": "mine", "collection": {"beir": "folder"}, "training": None}
    assert ct.load_config(values, ["training.epochs=2"]).training.epochs == 2
    assert values["training"] is None  # what was passed in stays as it was


@pytest.mark.parametrize("until", ["finetun", "mine-2", ""])
def test_a_stage_that_there_is_not_is_refused(toy_collection: Path, until: str) -> None:
    config = ct.load_config({"name": "n", "collection": {"beir": str(toy_collection)}})
    with pytest.raises(InputError, match=f"no stage '{until}' to run until; have collect, mine, finetune, evaluate, "):
        ct.run(config, until=until)


def test_every_public_name_can_be_looked_up() -> None:
    assert all(getattr(ct, name) is not None for name in ct.__all__)
    assert set(ct.__all__) <= set(dir(ct))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ct.nothing


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(import_module(f"crossforge_train.api.{name}"))
    assert found.failed == 0

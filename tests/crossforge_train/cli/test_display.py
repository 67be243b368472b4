"""Screens call the first stage by its name."""

import json
import shutil
from pathlib import Path

import pytest
from support import Command, write_lines

from crossforge import Reranker, RetrieveAndRerank, TfidfRetriever
from crossforge.documents import as_documents
from crossforge.retrievers.weighting import Weighting
from crossforge_train.cli.display import RichReporter, show_facts, show_results, show_side_by_side

NAMES = {"tfidf": "TF-IDF", "bm25": "BM25"}


@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
def test_columns_are_called_what_retrieved(
    toy_reranker: Reranker, capsys: pytest.CaptureFixture[str], weighting: Weighting
) -> None:
    documents = as_documents(["bread from the oven", "boat and sail"])
    pipeline = RetrieveAndRerank(documents, TfidfRetriever.fit(documents, weighting=weighting), toy_reranker)
    show_results(pipeline("oven"), pipeline.first_stage)
    show_side_by_side(pipeline("oven"), 5, pipeline.first_stage, pipeline.origins("oven"))
    shown = capsys.readouterr().out
    assert {name for name in NAMES.values() if name in shown} == {NAMES[weighting]}
    assert shown.count(NAMES[weighting]) == 2


def test_a_retriever_without_a_name_is_the_first_stage(toy_reranker: Reranker) -> None:
    documents = as_documents(["bread"])
    assert RetrieveAndRerank(documents, object(), toy_reranker).first_stage == "first stage"  # type: ignore[arg-type]


def test_square_brackets_in_names_are_no_markup(crossforge: Command, toy_collection: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sp[" / "x]"
    shutil.copytree(toy_collection, folder)
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "[bold]t.tsv")
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    write_lines(folder / "queries.jsonl", [*({**query, "judged_by": "e[/x]"} for query in queries[:-1]), queries[-1]])
    report = tmp_path / "out[" / "x]"
    found = crossforge("compare", "bm25", "--collection", folder, "--split", "[bold]t", "--report", report)
    assert found.status == 0, found.err
    assert "test split: [bold]t" in found.out
    assert "people judged only 1 of these 24 queries: e[/x] judged others" in found.out
    assert "judged by e[/x] (23) and people (1)" in found.out
    assert f"report: {report / 'report.html'}" in found.out
    show_facts({"a[/x]": "b[/y]"}, "c[/z]")
    with RichReporter().bar("d[/v]", 1) as advance:
        advance(1, "e[/w]")

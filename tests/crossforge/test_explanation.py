"""`explain`: a row for each candidate, with all that happened to it, and a table to read."""

import pytest

from crossforge import Document, InputError, Reranker, RetrieveAndRerank
from crossforge.documents import read_documents

QUERY = "bread oven yeast"
LONG = Document("long", "boat sail wind anchor " * 15 + "bread oven " + "mast tide crew deck " * 15, "Old things")


@pytest.fixture(scope="module")
def search(toy_package, toy_collection):
    documents = [*read_documents(toy_collection / "corpus.jsonl"), LONG]
    return RetrieveAndRerank.from_documents(documents, Reranker(toy_package), depth=9, passages=2)


def test_each_candidate_has_a_row_with_what_searching_gives(search):
    explained = search.explain(QUERY)
    results = search(QUERY, k=None)
    assert 2 < len(explained) == len(results) <= 9
    for row, found in zip(explained, results, strict=True):
        assert (row.doc_id, row.rank, row.logit, row.probability) == (
            found.doc_id, found.rank, found.score, found.probability,
        )  # fmt: skip
        assert (row.first_stage_rank, row.first_stage_score) == (found.first_stage_rank, found.first_stage_score)
        assert (row.passage, row.movement) == (found.passage, row.first_stage_rank - row.rank)
    assert {row.doc_id for row in explained if row.above_threshold} == {r.doc_id for r in results.above_threshold()}


def test_windows_tell_which_documents_were_cut(search):
    windows = {row.doc_id: row.windows for row in search.explain("bread anchor")}
    assert windows.pop("long") > 2
    assert set(windows.values()) == {1}


def test_the_text_holds_every_step_and_every_row(search):
    explained = search.explain(QUERY)
    lines = str(explained).splitlines()
    assert lines[0] == f"query: {QUERY}"
    assert [line.split(".")[0] for line in lines[1:5]] == ["1", "2", "3", "4"]
    assert lines[5].split()[:2] == ["rank", "moved"]
    assert len(lines) == 6 + len(explained)
    for row, line in zip(explained, lines[6:], strict=True):
        assert f"{row.logit:+.2f}" in line
        assert f"{row.probability:.3f}" in line
        assert (row.title or row.doc_id) in line


def test_slices_and_indexes_are_those_of_a_sequence(search):
    explained = search.explain(QUERY)
    assert explained[0] == explained.rows[0]
    assert explained[1:3] == explained.rows[1:3]


def test_a_query_that_matches_nothing_says_so(search):
    explained = search.explain("unheardof")
    assert len(explained) == 0
    assert "no document matches the query" in str(explained)


def test_an_empty_query_is_an_input_error(search):
    with pytest.raises(InputError, match="the query is empty"):
        search.explain(" ")


def test_a_query_that_leaves_no_room_says_so(search):
    explained = search.explain("bread oven " * 60)
    assert explained.steps[-1].startswith("not reranked, since the query leaves the model no room")
    assert {(row.windows, row.movement) for row in explained} == {(1, 0)}

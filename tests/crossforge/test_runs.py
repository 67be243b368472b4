"""TREC runs on disk."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import marked

from crossforge.errors import InputError
from crossforge.runs import Candidate, read_run, write_run

IDS = st.text("abcäß猫0-_./", min_size=1, max_size=5)
SCORES = st.floats(allow_nan=False, allow_infinity=False)
RUNS = st.dictionaries(
    IDS, st.lists(st.builds(Candidate, IDS, SCORES), min_size=1, max_size=5, unique_by=lambda found: found.doc_id)
)


@settings(max_examples=50)
@given(RUNS)
def test_a_run_comes_back_exactly(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("runs") / "r.trec"
    write_run(path, run, "tag")
    assert read_run(path) == run


def test_the_lines_are_those_of_trec(tmp_path):
    write_run(tmp_path / "r", {"q1": [Candidate("a", 0.5), Candidate("b", -1.0)], "q2": []}, "tag")
    assert (tmp_path / "r").read_text() == "q1 Q0 a 1 0.5 tag\nq1 Q0 b 2 -1.0 tag\n"


def test_the_rank_column_decides_the_order(tmp_path):
    (tmp_path / "r").write_text("q Q0 b 10 0.9 t\nq Q0 a 9 0.1 t\n")
    assert [found.doc_id for found in read_run(tmp_path / "r")["q"]] == ["a", "b"]


@pytest.mark.parametrize("name", ["r.trec", "r.trec.gz"])
def test_a_byte_order_mark_makes_no_query_of_its_own(tmp_path, name):
    (tmp_path / name).write_text("q Q0 a 1 0.9 t\nq Q0 b 2 0.1 t\n")
    assert read_run(marked(tmp_path / name)) == {"q": [Candidate("a", 0.9), Candidate("b", 0.1)]}


@pytest.mark.parametrize("line", ["q Q0 a 1 0.5", "q Q0 a 1 0.5 t x", "q Q0 a one 0.5 t", "q Q0 a 1 high t", ""])
def test_a_bad_line_is_named(tmp_path, line):
    (tmp_path / "r.trec").write_text(f"q Q0 b 1 0.5 t\n{line}\nq Q0 c 1 0.5 t\n")
    with pytest.raises(InputError, match=r"r\.trec, line 2: expected"):
        read_run(tmp_path / "r.trec")


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", "1e999"])
def test_a_score_that_is_not_finite_is_named(tmp_path, score):
    (tmp_path / "r.trec").write_text(f"q Q0 b 1 0.5 t\nq Q0 a 2 {score} t\n")
    with pytest.raises(InputError, match=rf"r\.trec, line 2: the score {score} is not finite"):
        read_run(tmp_path / "r.trec")


def test_a_document_that_stands_twice_for_a_query_is_named(tmp_path):
    (tmp_path / "r.trec").write_text("q Q0 a 1 0.9 t\np Q0 a 1 0.9 t\nq Q0 b 2 0.8 t\nq Q0 a 3 0.7 t\n")
    with pytest.raises(InputError, match=r"r\.trec, line 4: document 'a' is found twice for query 'q'; keep"):
        read_run(tmp_path / "r.trec")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"r\.trec: no such file"):
        read_run(tmp_path / "r.trec")


@pytest.mark.parametrize("doc_id", ["two words", "no\u00a0break", ""])
def test_an_id_that_the_format_cannot_hold_is_refused_or_comes_back(tmp_path, doc_id):
    run = {"q": [Candidate(doc_id, 1.0)]}
    try:
        write_run(tmp_path / "r", run, "tag")
    except InputError:
        return
    assert read_run(tmp_path / "r") == run

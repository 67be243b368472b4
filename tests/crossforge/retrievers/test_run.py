"""The kind `run`: what TREC files say is what is retrieved, and what they lack is said in one line."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.retrievers.choice import fit_retriever, load_retriever, save_retriever
from crossforge.retrievers.run import RunKind
from crossforge.runs import Candidate

DOCUMENTS = [Document(name, f"text of {name}") for name in "abcd"]


def run_file(folder: Path, name: str, *lines: str) -> str:
    text = "".join(f"{line} tag\n" for line in lines)
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


def fitted(runs: object, **options: Any) -> Any:
    return fit_retriever(DOCUMENTS, "run", {"runs": runs, **options})


def found(retriever: Any, query_id: str, k: int = 10, **options: bool) -> list[str]:
    return [one.doc_id for one in retriever.search({query_id: "whatever"}, k, **options)[query_id]]


def test_queries_are_found_by_id_over_all_files(tmp_path: Path) -> None:
    train = run_file(tmp_path, "train.trec", "q1 Q0 a 1 2.5", "q1 Q0 b 2 0.5")
    test = run_file(tmp_path, "test.trec.gz", "q2 Q0 c 1 -1")
    retriever = fitted([train, test], name="SPLADE")
    assert retriever.search({"q2": "x", "q1": "y"}, 1) == {"q2": [Candidate("c", -1.0)], "q1": [Candidate("a", 2.5)]}
    assert (retriever.name, retriever.description) == ("SPLADE", "TREC runs of 2 queries")


def test_the_order_is_that_of_trec_eval(tmp_path: Path) -> None:
    lines = "q Q0 a 1 0.5", "q Q0 c 2 0.5000000001", "q Q0 b 3 0.5", "q Q0 d 9 7"
    retriever = fitted(run_file(tmp_path, "r", *lines))
    assert found(retriever, "q") == ["d", "c", "b", "a"]


def test_mining_gets_equal_scores_in_the_order_of_ids(tmp_path: Path) -> None:
    retriever = fitted(run_file(tmp_path, "r", "q Q0 c 1 1", "q Q0 a 2 1", "q Q0 b 3 2"))
    assert found(retriever, "q") == ["b", "c", "a"]
    assert found(retriever, "q", ties_by_id=True) == ["b", "a", "c"]


def test_queries_that_no_run_holds_are_one_error(tmp_path: Path) -> None:
    path = run_file(tmp_path, "r.trec", "q1 Q0 a 1 1")
    queries = {f"q{n}": "text" for n in range(1, 7)}
    with pytest.raises(InputError) as caught:
        fitted(path).search(queries, 5)
    message = str(caught.value)
    assert message.startswith(f"{path}: 5 of 6 queries are in no run ('q2', 'q3', 'q4', …); ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q Q0 z 1 1", r"r\.trec: query 'q': document 'z' is not in the corpus"),
        ("q Q0 a 1 nan", r"r\.trec, line 2: the score nan is not finite"),
        ("q Q0 b 2 inf", r"r\.trec, line 2: the score inf is not finite"),
        ("q Q0 c 3 0.1", r"r\.trec, line 2: document 'c' is found twice for query 'q'"),
        ("q Q0 c 3", r"r\.trec, line 2: expected 'query Q0 document rank score tag'"),
    ],
)
def test_a_run_that_cannot_be_right_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    path = run_file(tmp_path, "r.trec", "q Q0 c 1 1", line)
    with pytest.raises(InputError, match=problem):
        fitted(path)


def test_two_files_may_agree_on_a_query_but_not_differ(tmp_path: Path) -> None:
    one = run_file(tmp_path, "one", "q Q0 a 1 2", "q Q0 b 2 1")
    same = run_file(tmp_path, "same", "q Q0 b 1 1", "q Q0 a 2 2")
    other = run_file(tmp_path, "other", "q Q0 a 1 2")
    assert found(fitted([one, same]), "q") == ["a", "b"]
    with pytest.raises(InputError, match=r"other: query 'q' has other documents or scores in .*one"):
        fitted([one, other])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, r"first_stage\.options\.runs is missing"),
        ({"runs": []}, r"first_stage\.options\.runs: expected the path of a TREC run, or a list of paths"),
        ({"runs": [3]}, r"first_stage\.options\.runs: expected the path"),
        ({"runs": 3}, r"first_stage\.options\.runs: expected a text or list \(found 3\)"),
        ({"run": "x"}, r"unknown key first_stage\.options\.run; did you mean runs\?"),
        ({"runs": "nowhere.trec"}, r"first_stage\.options\.runs: nowhere\.trec: no such TREC run file"),
    ],
)
def test_wrong_options_are_named_before_anything_runs(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        fit_retriever(DOCUMENTS, "run", settings)
    with pytest.raises(InputError, match=problem):
        RunKind.depends_on(settings)


def test_an_empty_file_and_an_empty_corpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no query in these runs"):
        fitted(run_file(tmp_path, "r"))
    with pytest.raises(InputError, match="the corpus is empty"):
        fit_retriever([], "run", {"runs": run_file(tmp_path, "r", "q Q0 a 1 1")})


def test_the_fingerprint_follows_what_the_files_hold(tmp_path: Path) -> None:
    settings = {"runs": run_file(tmp_path, "r", "q Q0 a 1 1")}
    before = RunKind.depends_on(settings)
    run_file(tmp_path, "r", "q Q0 a 1 2")
    assert RunKind.depends_on(settings) != before


def test_it_is_loaded_without_its_files(tmp_path: Path) -> None:
    path = run_file(tmp_path, "r.trec", "q Q0 a 1 1", "q Q0 b 2 1")
    retriever = fitted(path, name="engine")
    save_retriever(tmp_path / "saved", retriever)
    Path(path).unlink()
    loaded = load_retriever(tmp_path / "saved")
    assert (loaded.kind, loaded.name, loaded.description) == ("run", "engine", retriever.description)
    assert loaded.search({"q": ""}, 9) == retriever.search({"q": ""}, 9)
    texts = ["text of b", "something else"]
    assert loaded.similarities("b", texts).tolist() == retriever.similarities("b", texts).tolist() != [0, 0]
    with pytest.raises(InputError, match=r"r\.trec: 1 of 1 queries are in no run"):
        loaded.search({"new": "b"}, 9)


@pytest.mark.parametrize("damage", ["index.json", "doc_ids.json", "candidates.trec"])
def test_a_damaged_folder_is_said_so(tmp_path: Path, damage: str) -> None:
    save_retriever(tmp_path, fitted(run_file(tmp_path, "r", "q Q0 a 1 1")))
    (tmp_path / "run" / damage).write_text("{")
    with pytest.raises(PackageError, match="damaged or no first stage"):
        load_retriever(tmp_path)


def test_another_format_is_said_so(tmp_path: Path) -> None:
    save_retriever(tmp_path, fitted(run_file(tmp_path, "r", "q Q0 a 1 1")))
    (tmp_path / "run" / "index.json").write_text("{}")
    with pytest.raises(PackageError, match=r"not a first stage of this version \(crossforge-run-1\); mine anew"):
        load_retriever(tmp_path)

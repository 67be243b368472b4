"""The BEIR layout: a round trip, and one line for each thing that can be wrong with a folder."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import marked

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.beir import read_beir, read_judged, write_beir
from crossforge_train.collections.collection import Collection

DOCUMENTS = [{"_id": "d1", "title": "One", "text": "first"}, {"_id": "d2", "text": "second"}]
QUERIES = [{"_id": "q1", "text": "what"}, {"_id": "q2", "text": "why"}]
HEADER = "query-id\tcorpus-id\tscore"


def lines(rows: list) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A well-formed folder; tests break one thing in it."""
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(lines(DOCUMENTS))
    (tmp_path / "queries.jsonl").write_text(lines(QUERIES))
    (tmp_path / "qrels" / "train.tsv").write_text(lines([HEADER, "q1\td1\t1", "q1\td2\t0"]))
    (tmp_path / "qrels" / "test.tsv").write_text(lines([HEADER, "q2\td2\t2"]))
    return tmp_path


def problem(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_beir(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_read_with_every_split(folder: Path) -> None:
    found = read_beir(folder)
    assert found.name == folder.name
    assert found.corpus["d1"].full_text == "One\nfirst"
    assert found.queries == {"q1": "what", "q2": "why"}
    assert found.splits == {"test": {"q2": {"d2": 2}}, "train": {"q1": {"d1": 1, "d2": 0}}}


def test_judgements_of_documents_that_are_gone_may_be_passed_over(folder: Path) -> None:
    left = {"d1": Document("d1", "first")}
    assert read_judged(folder, left, known_only=True).splits == {"test": {}, "train": {"q1": {"d1": 1}}}
    with pytest.raises(InputError, match=r"test.tsv, line 2: there is no document 'd2'"):
        read_judged(folder, left)


IDS = st.text(st.characters(codec="utf-8", exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs")), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)


@given(
    st.dictionaries(IDS, st.tuples(TEXTS, TEXTS), min_size=1),
    st.dictionaries(IDS, TEXTS.filter(str.strip), min_size=1),
    st.data(),
)
def test_what_is_written_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, documents: dict, queries: dict, data: st.DataObject
) -> None:
    judged = st.dictionaries(st.sampled_from(sorted(documents)), st.integers(-1, 4), min_size=1)
    qrels = data.draw(st.dictionaries(st.sampled_from(sorted(queries)), judged, min_size=1))
    corpus = {key: Document(key, text, title) for key, (title, text) in documents.items()}
    collection = Collection("any", corpus, queries, {"train": qrels})
    folder = tmp_path_factory.mktemp("round-trip")
    write_beir(folder, collection)
    assert read_beir(folder, "any") == collection


def test_byte_order_marks_change_nothing(folder: Path) -> None:
    before = read_beir(folder)
    for file in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"):
        marked(folder / file)
    (folder / "qrels" / "test.tsv").write_text("q2\td2\t2\n")
    marked(folder / "qrels" / "test.tsv")
    assert read_beir(folder) == before


def test_ids_that_are_numbers_are_read_as_text(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(lines([{"_id": 1, "text": "first"}]))
    (folder / "queries.jsonl").write_text(lines([{"_id": 7, "text": "what"}]))
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels" / "train.tsv").write_text(lines([HEADER, "7\t1\t1"]))
    assert read_beir(folder).splits == {"train": {"7": {"1": 1}}}


def test_qrels_without_a_header_are_read_too(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("q2\td2\t2\n")
    assert read_beir(folder).qrels("test") == {"q2": {"d2": 2}}


@pytest.mark.parametrize(
    "header",
    ["", "\n\nqid\tcid\tscore\n", "qid\tcid\tscore\n", "query-id\tQ0\tcorpus-id\tscore\n", "Query-ID\tDoc\tRel\n"],
)
def test_any_words_in_the_first_line_are_a_header(folder: Path, header: str) -> None:
    (folder / "qrels" / "test.tsv").write_text(f"{header}q2\td2\t2\n")
    assert read_beir(folder).qrels("test") == {"q2": {"d2": 2}}


@pytest.mark.parametrize("first", ["q2\td2\tyes\n", "q2\t0\td2\t\n"])
def test_a_first_line_with_a_known_document_is_no_header(folder: Path, first: str) -> None:
    (folder / "qrels" / "test.tsv").write_text(f"{first}q2\td1\t2\n")
    with pytest.raises(InputError, match=r"test.tsv, line 1: the label '.*' is no number"):
        read_beir(folder)


def test_four_columns_are_trecs(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(lines([*DOCUMENTS, {"_id": "0", "text": "a document that is called 0"}]))
    (folder / "qrels" / "test.tsv").write_text("q2\t0\td2\t2\nq2\t0\td1\t0\n")
    assert read_beir(folder).qrels("test") == {"q2": {"d2": 2, "d1": 0}}


def test_a_quotation_mark_in_an_id_is_an_ordinary_character(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(lines([*DOCUMENTS, {"_id": '"d3', "text": "x"}]))
    (folder / "qrels" / "test.tsv").write_text('q2\t"d3\t1\nq2\td2\t1\n')
    assert read_beir(folder).qrels("test") == {"q2": {'"d3': 1, "d2": 1}}


MALFORMED_LINES = {
    "broken JSON in the corpus": ("corpus.jsonl", [*DOCUMENTS, '{"_id": "d3", '], 3),
    "a list in the corpus": ("corpus.jsonl", [*DOCUMENTS, "[1, 2]"], 3),
    "a document without text": ("corpus.jsonl", [{"_id": "d0"}, *DOCUMENTS], 1),
    "a document twice": ("corpus.jsonl", [*DOCUMENTS, DOCUMENTS[0]], 3),
    "a space in a document id": ("corpus.jsonl", [*DOCUMENTS, {"_id": "d 3", "text": "x"}], 3),
    "an empty document id": ("corpus.jsonl", [*DOCUMENTS, {"_id": "", "text": "x"}], 3),
    "metadata that is no mapping": ("corpus.jsonl", [*DOCUMENTS, {"_id": "d3", "text": "x", "metadata": "y"}], 3),
    "broken JSON in the queries": ("queries.jsonl", [*QUERIES, "{"], 3),
    "a query twice": ("queries.jsonl", [*QUERIES, QUERIES[1]], 3),
    "a query without id": ("queries.jsonl", [{"text": "x"}, *QUERIES], 1),
    "a query whose text is a number": ("queries.jsonl", [*QUERIES, {"_id": "q3", "text": 3}], 3),
    "a space in a query id": ("queries.jsonl", [*QUERIES, {"_id": "q 3", "text": "x"}], 3),
    "an unknown query in the qrels": ("qrels/train.tsv", [HEADER, "q1\td1\t1", "q9\td1\t1"], 3),
    "an unknown document in the qrels": ("qrels/train.tsv", [HEADER, "q1\td9\t1"], 2),
    "a qrels line with two columns": ("qrels/train.tsv", [HEADER, "q1\td1"], 2),
    "a qrels line with five columns": ("qrels/train.tsv", [HEADER, "q1\t0\td1\t1\tx"], 2),
    "a qrels line without tabs": ("qrels/train.tsv", ["q1 d1 1"], 1),
    "a qrels line with a word as score": ("qrels/train.tsv", [HEADER, "q1\td1\tyes"], 2),
    "a qrels line with an infinite score": ("qrels/train.tsv", [HEADER, "q1\td1\tinf"], 2),
    "a qrels line with a comma": ("qrels/train.tsv", [HEADER, "q1,d1,1"], 2),
}


@pytest.mark.parametrize("name", MALFORMED_LINES)
def test_a_malformed_line_is_named_with_its_file(folder: Path, name: str) -> None:
    file, rows, number = MALFORMED_LINES[name]
    (folder / file).write_text(lines(rows))
    assert problem(folder).startswith(f"{folder / file}, line {number}: ")


def test_ids_may_stand_under_docid(folder: Path) -> None:
    rows = [{"docid": row["_id"], "text": row["text"]} for row in reversed(DOCUMENTS)]
    (folder / "corpus.jsonl").write_text(lines(rows))
    assert {key: found.text for key, found in read_beir(folder).corpus.items()} == {"d2": "second", "d1": "first"}


@pytest.mark.parametrize("before", [[], DOCUMENTS])
def test_a_document_without_an_id_is_refused_with_the_keys_that_it_has(folder: Path, before: list) -> None:
    (folder / "corpus.jsonl").write_text(lines([*before, {"pid": "d1", "text": "first"}]))
    place = f"{folder / 'corpus.jsonl'}, line {len(before) + 1}"
    assert problem(folder) == f"{place}: no id under _id, doc_id, id or docid; keys here: pid, text"


@pytest.mark.parametrize("file", ["corpus.jsonl", "qrels/train.tsv"])
def test_a_file_without_content_is_named(folder: Path, file: str) -> None:
    (folder / file).write_text("")
    assert problem(folder).startswith(f"{folder / file}: no ")


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert problem(folder) == f"{folder / file}: no such file"


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/train.tsv"])
def test_a_file_that_is_not_utf8_is_named(folder: Path, file: str) -> None:
    (folder / file).write_text((folder / file).read_text(), encoding="utf-16")
    assert problem(folder) == f"{folder / file}: UTF-16 text; save it as UTF-8"


def test_missing_qrels_are_named(folder: Path) -> None:
    shutil.rmtree(folder / "qrels")
    assert problem(folder).startswith(f"{folder / 'qrels'}: no judgements")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert problem(tmp_path / "none") == f"{tmp_path / 'none'}: no such folder"


def test_a_query_in_two_splits_names_both(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text(lines([HEADER, "q1\td2\t2"]))
    assert "query 'q1' is in two splits" in problem(folder)


def test_a_lone_surrogate_in_a_text_does_not_stop_writing(folder: Path, tmp_path: Path) -> None:
    (folder / "corpus.jsonl").write_text(lines([{"_id": "d1", "text": "half \ud83d emoji"}, DOCUMENTS[1]]))
    write_beir(tmp_path / "again", read_beir(folder))
    assert "emoji" in read_beir(tmp_path / "again").corpus["d1"].text


def test_a_judged_query_that_is_empty_is_named_where_it_is_judged(folder: Path) -> None:
    (folder / "queries.jsonl").write_text(lines([QUERIES[0], {"_id": "q2", "text": " "}]))
    assert problem(folder) == f"{folder / 'qrels' / 'test.tsv'}, line 2: query 'q2' is empty"

"""Readers of other projects' layouts: TREC, `datasets`, `ir_datasets`."""

import gzip
import json
import lzma
import sys
from pathlib import Path

import pytest
from reading import DOCUMENTS, PAIRS, QUERIES, SPLITS, TEST, TRAIN, by_text, problem, read, write_table
from support import marked, write_lines

from crossforge_train.collections.readers.reader import source_depends_on
from crossforge_train.config.sources import AnySource

TREC_DOCUMENTS = """<DOC>
<DOCNO> FT-1 </DOCNO>
<HEADLINE>Fish &amp; chips</HEADLINE>
<TEXT>
Fried <b>fish</b>
and chips.
</TEXT>
</DOC>
<DOC><DOCNO>FT-2</DOCNO> No text tag here. </DOC>
"""
OLD_TOPICS = """<top>
<num> Number: 301
<title> Topic: International Organized
Crime
<desc> Description:
Identify organizations.
<narr> Narrative:
Long story.
</top>

<top><num> Number: 302 <title> Poliomyelitis <desc> Description: Is it under control? </top>
"""
NEW_TOPICS = """<topics>
<topic number="301"><query>organized crime</query><question>who?</question></topic>
<topic number="302"><query>polio</query><question>under control?</question></topic>
</topics>
"""
TREC_QRELS = "301 0 FT-1 2\n301 0 FT-2 0\n\n302 0 FT-2 -1\n"


@pytest.fixture
def trec(tmp_path: Path) -> dict:
    """The parts of a TREC collection."""
    files = {"documents": "docs.txt", "topics": "topics.txt", "qrels": "qrels.txt"}
    for (_, name), text in zip(files.items(), (TREC_DOCUMENTS, OLD_TOPICS, TREC_QRELS), strict=True):
        (tmp_path / name).write_text(text)
    return {part: tmp_path / name for part, name in files.items()}


def test_trec_markup_is_read(trec: dict) -> None:
    found = read(trec=trec)
    assert [(one.doc_id, one.title, one.text) for one in found.corpus.values()] == [
        ("FT-1", "Fish & chips", "Fried fish and chips."),
        ("FT-2", "", "No text tag here."),
    ]
    assert found.queries == {"301": "International Organized Crime", "302": "Poliomyelitis"}
    assert found.splits == {"train": {"301": {"FT-1": 2, "FT-2": 0}, "302": {"FT-2": -1}}}


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Platelets < 50 and neutrophils > 10 were seen", "Platelets < 50 and neutrophils > 10 were seen"),
        ("p<0.05 in 3 of x>2 and y<z, a <b and c> d", "p<0.05 in 3 of x>2 and y<z, a <b and c> d"),
        ("<p class='x y' id=a1>one</p><br/>two <!-- a > b --> three<F P=100>four</F>", "one two three four"),
        ("<?show a?>fish &lt;b&gt; <![CDATA[>", "fish <b>"),
    ],
)
def test_only_tags_are_taken_out_of_a_text(trec: dict, markup: str, text: str) -> None:
    trec["documents"].write_text(TREC_DOCUMENTS.replace("No text tag here.", markup))
    assert read(trec=trec).corpus["FT-2"].text == text


def test_a_topic_keeps_its_signs(trec: dict) -> None:
    trec["topics"].write_text(OLD_TOPICS.replace("Poliomyelitis", "age < 5 and weight > 20"))
    assert read(trec=trec).queries["302"] == "age < 5 and weight > 20"


@pytest.mark.parametrize(("field", "query"), [("description", "Identify organizations."), ("narrative", "Long story.")])
def test_a_field_of_old_topics_ends_where_the_next_begins(trec: dict, field: str, query: str) -> None:
    (trec["topics"]).write_text(OLD_TOPICS.replace("Is it under control?", "Is it under control? <narr> All of it."))
    assert read(trec={**trec, "topic_field": field}).queries["301"] == query


def test_new_topics_are_read_and_files_may_be_packed(trec: dict, tmp_path: Path) -> None:
    (trec["topics"]).write_text(NEW_TOPICS)
    packed = tmp_path / "docs.gz"
    packed.write_bytes(gzip.compress(TREC_DOCUMENTS.encode()))
    found = read(trec={**trec, "documents": [packed]})
    assert found.queries == {"301": "organized crime", "302": "polio"}
    assert len(found.corpus) == 2


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_byte_order_marks_change_nothing(trec: dict, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "docs.tsv").write_text("FT-1\tFried fish.\nFT-2\tNo text.\n")
    (tmp_path / "topics.tsv").write_text("301\torganized crime\n302\tpolio\n")
    paths = {"documents": tmp_path / "docs.tsv", "topics": tmp_path / "topics.tsv", "qrels": trec["qrels"]}
    found = read(trec={part: marked(path.rename(f"{path}{suffix}")) for part, path in paths.items()})
    assert list(found.corpus) == ["FT-1", "FT-2"]
    assert list(found.queries) == ["301", "302"]
    assert found.splits["train"]["301"] == {"FT-1": 2, "FT-2": 0}


@pytest.mark.parametrize("blank", ["", "\n", " \n"])
def test_documents_and_topics_may_be_lines_of_id_and_text(trec: dict, tmp_path: Path, blank: str) -> None:
    (tmp_path / "docs.tsv").write_text(f'FT-1\ttitle\tone "quoted\n{blank}FT-2\tt\ttwo\n')
    (tmp_path / "topics.tsv").write_text(f"301\tcrime\n302\tpolio\n{blank}")
    found = read(trec={**trec, "documents": tmp_path / "docs.tsv", "topics": tmp_path / "topics.tsv"})
    assert found.corpus["FT-1"].full_text == 'title\none "quoted'
    assert found.queries == {"301": "crime", "302": "polio"}


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        ("documents", "<DOCNO>FT-2</DOCNO>", "", "line 9: no <docno> in it"),
        ("documents", "No text tag here. </DOC>", "", "line 9: <doc> is never closed"),
        ("documents", "FT-2", "FT-1", "line 9: the id 'FT-1' stands twice"),
        ("topics", "<num> Number: 301", "", "line 1: no <num> in it"),
        ("topics", "<title> Poliomyelitis", "", "line 11: topic 302 has no title"),
        ("topics", "top>", "question>", "no topics in it"),
        ("qrels", "301 0 FT-2 0", "301 FT-2 0", "line 2: expected 'query 0 document label', found 3 columns"),
        ("qrels", "FT-2 0", "FT-9 0", "line 2: there is no document 'FT-9'"),
        ("qrels", "FT-1 2", "FT-1 two", "line 1: the label 'two' is no number"),
    ],
)
def test_what_is_wrong_in_trec_files_is_named_with_its_line(
    trec: dict, part: str, old: str, new: str, message: str
) -> None:
    text = trec[part].read_text()
    trec[part].write_text(text.replace(old, new))
    found = problem(trec=trec)
    assert found.startswith(str(trec[part]))
    assert message in found


def save_dataset(folder: Path, **splits: list[dict]) -> Path:
    from datasets import Dataset, DatasetDict

    DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()}).save_to_disk(str(folder))
    return folder


def test_a_saved_data_set_of_pairs_is_read(tmp_path: Path) -> None:
    found = read(datasets=str(save_dataset(tmp_path / "pairs", train=PAIRS, test=PAIRS[:1])))
    assert by_text(found)["q two"] == {"text a": 1}
    assert by_text(found, "test") == {"q one": {"text a": 1}}


def test_a_saved_data_set_of_triples_is_read_by_the_columns_that_are_named(tmp_path: Path) -> None:
    rows = [{"a": "q", "b": "x", "grade": 2}, {"a": "q", "b": "y", "grade": 0}]
    folder = save_dataset(tmp_path / "triples", train=rows)
    columns = {"query": "a", "text": "b", "label": "grade"}
    assert by_text(read(datasets={"path": str(folder), "columns": columns})) == {"q": {"x": 2, "y": 0}}
    message = problem(datasets={"path": str(folder), "columns": {"query": "a"}})
    assert message == f"{folder}, train, row 1: there is no column 'text'; columns here: a, b, grade"


def test_labels_of_a_data_set_under_another_name_are_refused(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "scored", train=[{"query": "q", "text": "x", "score": 0}])
    found = problem(datasets=str(folder))
    assert found.startswith(f"{folder}, train, row 1: column 'score' holds labels")
    columns = {"label": "score"}
    assert by_text(read(datasets={"path": str(folder), "columns": columns})) == {"q": {"x": 0}}


def test_a_single_saved_split_is_the_training_split(tmp_path: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(PAIRS).save_to_disk(str(tmp_path / "one"))
    assert list(read(datasets=str(tmp_path / "one")).splits) == ["train"]


def test_three_configurations_of_a_folder_are_corpus_queries_and_qrels(tmp_path: Path) -> None:
    save_dataset(tmp_path / "corpus", corpus=DOCUMENTS)
    save_dataset(tmp_path / "queries", queries=QUERIES)
    save_dataset(tmp_path / "default", train=TRAIN, test=TEST)
    source = {"path": str(tmp_path), "corpus": "corpus", "queries": "queries", "qrels": "default"}
    found = read(datasets=source)
    assert found.splits == SPLITS
    assert found.query_fields["q1"] == {"thread": "a"}
    assert source_depends_on(AnySource(datasets=source))["files"]


def test_a_folder_of_plain_files_is_loaded_as_the_library_does(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("query,text\nq,a\nr,b\n")
    (tmp_path / "test.csv").write_text("query,text\ns,a\n")
    found = read(datasets=str(tmp_path))
    assert by_text(found, "test") == {"s": {"a": 1}}
    assert len(found.qrels("train")) == 2


NOT_WHAT_THEY_SEEM = [("null", "007"), ("NA", "None"), ("12", "1.50"), ("True", " x ")]


def test_texts_of_csv_files_stay_what_they_are(tmp_path: Path) -> None:
    rows = [{"query": query, "text": text, "thread": ""} for query, text in NOT_WHAT_THEY_SEEM]
    for split in ("train", "test"):
        write_table(tmp_path / f"{split}.csv", rows)
    found = read(datasets=str(tmp_path))
    assert by_text(found, "test") == {query: {text.strip(): 1} for query, text in NOT_WHAT_THEY_SEEM}
    assert found.query_fields == {}


LOOKS = ["2024-01-05", "2024-01-05 10:00:00", "2024-01-05T10:00:00Z", "007", "1e5", "true", "null", "NaN", "12"]


@pytest.mark.parametrize(
    "name",
    ["train.jsonl", "train.jsonl.gz", "train.json", "train.jsonl.xz", "train.csv", "train.csv.xz", "train.parquet"],
)
@pytest.mark.parametrize("text", LOOKS)
def test_a_text_stays_what_it_is_in_files_of_every_kind(tmp_path: Path, name: str, text: str) -> None:
    rows = [{"query": text, "text": text, "when": text}]
    if name == "train.json":
        (tmp_path / name).write_text(json.dumps(rows))
    else:
        table = write_table(tmp_path / name.removesuffix(".xz"), rows)
    if name.endswith(".xz"):  # which the library alone unpacks
        (tmp_path / name).write_bytes(lzma.compress(table.read_bytes()))
        table.unlink()
    found = read(datasets=str(tmp_path))
    assert by_text(found) == {text: {text: 1}}
    assert list(found.query_fields.values()) == [{"when": text}]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_an_id_stays_what_it_is_where_only_some_look_like_something_else(tmp_path: Path, kind: str) -> None:
    tables = {
        "corpus": [{"_id": key, "text": key} for key in ("2024-01-05", "007", "a")],
        "queries": [{"_id": key, "text": key} for key in ("2024-01-06", "1e5")],
        "qrels": [{"query-id": "2024-01-06", "corpus-id": "2024-01-05", "score": 1}],
    }
    for name, rows in tables.items():
        (tmp_path / name).mkdir()
        write_table(tmp_path / name / f"train.{kind}", rows)
    found = read(datasets={"path": str(tmp_path), "corpus": "corpus", "queries": "queries", "qrels": "qrels"})
    assert found.splits == {"train": {"2024-01-06": {"2024-01-05": 1}}}
    assert found.queries == {"2024-01-06": "2024-01-06", "1e5": "1e5"}


def test_json_files_may_differ_in_their_columns_and_hold_other_things_than_texts(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", [{"query": "q", "text": "t", "n": 1}, {"query": "r", "text": "t", "n": "a"}])
    write_lines(tmp_path / "test.jsonl", [{"query": "q", "text": "t", "more": [{"a": "2024-01-05"}]}])
    found = read(datasets=str(tmp_path))
    assert sorted(map(str, found.query_fields.values())) == [
        "{'more': [{'a': '2024-01-05'}]}",
        "{'n': 'a'}",
        "{'n': 1}",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"query": "q"}\n{"query"', "train.json, line 2: not valid JSON"),
        ("[1]", "train.json, item 1: expected an object or a text, found 1"),
        ('[{"query": "q"}', "train.json: not valid JSON"),
        ("{", "train.json, line 1: not valid JSON"),
    ],
)
def test_a_json_file_that_cannot_be_read_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "train.json").write_text(content)
    assert f"{tmp_path}/{message}" in problem(datasets=str(tmp_path))


def test_a_split_of_csv_may_hold_numbers_alone(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", [{"query": "1", "text": "2.50"}])
    write_table(tmp_path / "test.csv", [{"query": "one", "text": "two"}])
    found = read(datasets=str(tmp_path))
    assert (by_text(found), by_text(found, "test")) == ({"1": {"2.50": 1}}, {"one": {"two": 1}})


def test_csv_in_utf16_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes("query,text\na,b\n".encode("utf-16"))
    assert problem(datasets=str(tmp_path)).endswith("(UTF-16 text; save it as UTF-8)")


def test_a_column_of_a_long_csv_file_may_begin_with_numbers(tmp_path: Path) -> None:
    rows = [{"_id": str(n), "text": str(n)} for n in range(10_050)]
    (tmp_path / "corpus").mkdir()
    write_table(tmp_path / "corpus" / "train.csv", [*rows, {"_id": "0x1", "text": "None"}])
    for name, row in (("queries", {"_id": "01", "text": "1"}), ("qrels", {"query-id": "01", "corpus-id": "0x1"})):
        (tmp_path / name).mkdir()
        write_table(tmp_path / name / "train.csv", [row])
    found = read(datasets={"path": str(tmp_path), "corpus": "corpus", "queries": "queries", "qrels": "qrels"})
    assert found.splits == {"train": {"01": {"0x1": 1}}}
    assert found.corpus["0x1"].text == "None"


def test_a_data_set_that_cannot_be_loaded_is_told_in_one_line(tmp_path: Path) -> None:
    assert problem(datasets="./none") == "none: no such folder, and no hub id such as owner/name"
    (tmp_path / "script.py").write_text("raise SystemExit")
    assert problem(datasets=str(tmp_path)).startswith(f"{tmp_path}: not a data set that can be loaded")
    assert "somebody/nothing: not a data set that can be loaded" in problem(datasets="somebody/nothing")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    assert 'pip install "crossforge[ir-datasets]"' in problem(ir_datasets="beir/scifact/train")

"""Readers: each kind of source gives the collection that it holds, and one line for what is wrong with it."""

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import DOCUMENTS, PAIRS, QUERIES, SPLITS, TEST, TRAIN, by_text, problem, read, write_table
from support import marked

from crossforge_train.collections.beir import read_beir, write_beir
from crossforge_train.collections.readers.reader import source_depends_on
from crossforge_train.config.sources import AnySource


def separate_files(folder: Path, suffix: str) -> dict:
    return {
        "corpus": write_table(folder / f"corpus{suffix}", DOCUMENTS),
        "queries": write_table(folder / f"queries{suffix}", QUERIES),
        "qrels": {
            "train": write_table(folder / f"train{suffix}", TRAIN),
            "test": write_table(folder / f"test{suffix}", TEST),
        },
    }


SUFFIXES = [".jsonl", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.gz", ".tsv.gz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_separate_files_of_every_format_hold_the_same_collection(tmp_path: Path, suffix: str) -> None:
    found = read(files=separate_files(tmp_path, suffix))
    assert [(one.doc_id, one.title, one.text) for one in found.corpus.values()] == [
        ("d1", "One", "first, text"),
        ("d2", "", 'sec"ond'),
    ]
    assert found.queries == {"q1": "what", "q2": "why"}
    assert found.splits == SPLITS
    assert found.query_fields == {"q1": {"thread": "a"}, "q2": {"thread": "b"}}


def test_binary_columns_of_parquet_are_texts(tmp_path: Path) -> None:
    def binary(rows: list[dict]) -> list[dict]:
        return [{name: value.encode() if isinstance(value, str) else value for name, value in row.items()}
                for row in rows]  # fmt: skip

    source = separate_files(tmp_path, ".parquet")
    write_table(source["corpus"], binary(DOCUMENTS))
    write_table(source["queries"], binary(QUERIES))
    write_table(source["qrels"]["train"], binary(TRAIN))
    found = read(files=source)
    assert [(one.doc_id, one.title, one.text) for one in found.corpus.values()] == [
        ("d1", "One", "first, text"),
        ("d2", "", 'sec"ond'),
    ]
    assert found.splits == SPLITS
    write_table(source["queries"], [{"_id": b"\xff", "text": "x"}])
    assert problem(files=source).endswith("row 1: column '_id' holds b'\\xff' where an id is expected")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".csv.gz"])
def test_byte_order_marks_change_nothing(tmp_path: Path, suffix: str) -> None:
    rows = [{"query": "q one", "text": "text a"}]
    path = marked(write_table(tmp_path / f"pairs{suffix.removesuffix('.gz')}", rows))
    if suffix == ".csv":
        path.write_text('\ufeff"query","text"\n"q one","text a"\n', encoding="utf-8")
    if suffix.endswith(".gz"):
        path = path.rename(f"{path}.gz")
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert by_text(read(pairs=path)) == {"q one": {"text a": 1}}


OTHER_NEGATIVES = ["neg1", "negative_text", "hard negatives", "Hard-Negative-2", "negative_document", "rejected"]


@pytest.mark.parametrize(
    ("row", "columns", "column"),
    [
        ({"query": "q", "pos": ["a", "b"], "neg": ["c"]}, {"text": "pos"}, "neg"),
        ({"query": "q", "pos": ["a", "b"], "neg": ["c"]}, {}, "neg"),
        ({"anchor": "q", "positive": "a", "negative": "c"}, {"query": "anchor", "text": "positive"}, "negative"),
        ({"query": "q", "text": "a", "hard_negative_1": "c"}, {}, "hard_negative_1"),
        *(({"query": "q", "text": "a", name: "c"}, {}, name) for name in OTHER_NEGATIVES),
    ],
)
def test_irrelevant_texts_that_nothing_reads_are_told(tmp_path: Path, row: dict, columns: dict, column: str) -> None:
    path = write_table(tmp_path / "pairs.jsonl", [row])
    found = problem(pairs={"files": path, "columns": columns})
    assert found.startswith(f"{path}, line 1: nothing reads the irrelevant texts in column {column!r}; make each")


@pytest.mark.parametrize(("name", "value"), [("label", 0), ("Score", "0.3"), ("relevance", True), ("labels", 1)])
def test_labels_beside_pairs_are_refused(tmp_path: Path, name: str, value: object) -> None:
    path = write_table(tmp_path / "pairs.jsonl", [{"query": "q", "text": "a", name: value}])
    found = problem(pairs=path)
    assert found.startswith(f"{path}, line 1: column {name!r} holds labels, which pairs do not have; read them")


def test_a_label_in_words_belongs_to_the_query_of_a_pair(tmp_path: Path) -> None:
    path = write_table(tmp_path / "pairs.jsonl", [{"query": "q", "text": "a", "label": "billing"}])
    assert list(read(pairs=path).query_fields.values()) == [{"label": "billing"}]


@pytest.mark.parametrize("name", ["label", "relevance", "Scores"])
def test_labels_of_judgements_under_another_name_are_refused(tmp_path: Path, name: str) -> None:
    source = separate_files(tmp_path, ".csv")
    train = write_table(source["qrels"]["train"], [{"query-id": "q1", "corpus-id": "d1", name: 0}])
    found = problem(files=source)
    assert found.startswith(f"{train}, line 2: nothing reads the labels in column {name!r}; add qrels_columns: {{label")
    source["qrels"] = train
    assert read(files={**source, "qrels_columns": {"label": name}}).splits == {"train": {"q1": {"d1": 0}}}


def test_a_list_of_texts_is_told_as_one(tmp_path: Path) -> None:
    path = write_table(tmp_path / "pairs.jsonl", [{"query": "q", "pos": ["a", "b"]}])
    found = problem(pairs={"files": path, "columns": {"text": "pos"}})
    assert found == f"{path}, line 1: column 'pos' holds a list; make each of its texts a row of its own"


def test_other_columns_may_be_called_negative(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "t.jsonl", [{"query": "q", "text": "a", "label": 1, "negative": False, "negligence": "x"}]
    )
    assert list(read(triples=path).query_fields.values()) == [{"negative": False, "negligence": "x"}]


def test_columns_may_have_any_names(tmp_path: Path) -> None:
    source = {
        "corpus": write_table(tmp_path / "c.csv", [{"sku": "7", "name": "Lamp", "about": "bright", "price": "3"}]),
        "corpus_columns": {"id": "sku", "title": "name", "text": "about"},
        "queries": write_table(tmp_path / "q.tsv", [{"n": "1", "q": "light"}]),
        "query_columns": {"id": "n", "text": "q"},
        "qrels": write_table(tmp_path / "j.csv", [{"q": "1", "d": "7"}]),
        "qrels_columns": {"query": "q", "document": "d"},
    }
    found = read(files=source)
    assert found.corpus["7"].full_text == "Lamp\nbright"
    assert found.corpus["7"].metadata == {"price": "3"}
    assert found.splits == {"train": {"1": {"7": 1}}}, "without a column of labels a row says relevant"


def test_a_cell_may_hold_lines_and_is_named_by_its_first_one(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('\ufeffquery,text\nq,"two\nlines"\nq,""\n', encoding="utf-8")
    assert problem(pairs=path) == f"{path}, line 4: column 'text' is empty"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("corpus", {"_id": "d1"}, "the id 'd1' stands twice"),
        ("corpus", {"_id": "d 2"}, "the id 'd 2' is empty or holds a space"),
        ("queries", {"_id": "q1"}, "the query id 'q1' stands twice"),
        ("queries", {"_id": ""}, "the id '' is empty or holds a space"),
    ],
)
def test_a_bad_row_is_named_with_its_place(tmp_path: Path, suffix: str, table: str, change: dict, message: str) -> None:
    source = separate_files(tmp_path, suffix)
    rows = {"corpus": DOCUMENTS, "queries": QUERIES}[table]
    path = write_table(tmp_path / f"{table}{suffix}", [rows[0], {**rows[1], **change}])
    place = {".jsonl": "line 2", ".parquet": "row 2"}.get(suffix, "line 3")
    assert problem(files=source).startswith(f"{path}, {place}: {message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"score": 0.5},
            "the label 0.5 is no whole number; name the labels from which a document has grade 1, 2, … as "
            "collection.files.thresholds (docs/collections.md)",
        ),
        ({"score": "high"}, "the label 'high' is no number"),
        ({"query-id": "q9"}, "there is no query 'q9'"),
        ({"corpus-id": "d9"}, "there is no document 'd9'"),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_bad_judgement_is_named_with_its_place(tmp_path: Path, suffix: str, change: dict, message: str) -> None:
    source = separate_files(tmp_path, suffix)
    path = write_table(source["qrels"]["test"], [{**TEST[0], **change}])
    place = {".jsonl": "line 1", ".parquet": "row 1"}.get(suffix, "line 2")
    assert problem(files=source) == f"{path}, {place}: {message}"


def test_a_missing_column_lists_those_that_there_are(tmp_path: Path) -> None:
    path = write_table(tmp_path / "pairs.csv", [{"question": "q", "answer": "a"}])
    assert problem(pairs=path) == f"{path}, line 2: there is no column 'query'; columns here: question, answer"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows in it"),
        ("query,text\n", "no rows in it"),
        ("query,text\na\n", "line 2: 1 columns where the header has 2"),
        ("query,text\na,b,c\n", "line 2: 3 columns where the header has 2"),
        ("query,query\na,b\n", "line 1: the column 'query' stands twice"),
        ('query,text\na,"b\n', "line 2: unexpected end of data"),
    ],
)
def test_a_malformed_csv_is_told(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(content)
    assert message in problem(pairs=path)
    assert problem(pairs=path).startswith(str(path))


@pytest.mark.parametrize("name", ["pairs.xlsx", "pairs.json", "pairs", "pairs.parquet.gz"])
def test_an_unknown_format_names_the_known_ones(tmp_path: Path, name: str) -> None:
    assert "unknown kind of table; its name ends in .jsonl, .csv" in problem(pairs=tmp_path / name)


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv", "p.tsv.gz", "p.parquet"])
def test_a_missing_table_and_a_damaged_one_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert problem(pairs=path) == f"{path}: no such file"
    path.write_bytes(b"\x1f\x8b\x08\xff\xfe garbage \x00")
    assert problem(pairs=path).startswith(str(path))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_beir_folder_may_be_packed(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "qrels").mkdir()
    write_table(tmp_path / f"corpus.jsonl{suffix}", DOCUMENTS)
    write_table(tmp_path / f"queries.jsonl{suffix}", QUERIES)
    write_table(tmp_path / "qrels" / f"train.tsv{suffix}", TRAIN)
    write_table(tmp_path / "qrels" / f"test.tsv{suffix}", TEST)
    found = read(beir=tmp_path)
    assert found.splits == SPLITS
    assert found.query_fields["q2"] == {"thread": "b"}
    assert len(source_depends_on(AnySource(beir=tmp_path))["files"]) == 4
    write_beir(tmp_path / "again", found)
    assert read_beir(tmp_path / "again", found.name) == found


def test_equal_texts_of_pairs_are_one_document(tmp_path: Path) -> None:
    found = read(pairs=write_table(tmp_path / "pairs.jsonl", PAIRS))
    assert found.name == "pairs"
    assert len(found.corpus) == 2
    assert by_text(found) == {"q one": {"text a": 1, "text b": 1}, "q two": {"text a": 1}}
    fields = {found.queries[key]: value for key, value in found.query_fields.items()}
    assert fields == {"q one": {"thread": ["t1", "t2"]}, "q two": {"thread": "t1"}}


def test_one_query_text_in_two_splits_is_two_queries(tmp_path: Path) -> None:
    train = write_table(tmp_path / "train.csv", PAIRS)
    test = write_table(tmp_path / "test.csv", PAIRS[:1])
    found = read(pairs={"files": {"train": train, "test": test}})
    assert len(found.queries) == 3
    assert len(found.corpus) == 2
    assert by_text(found, "test") == {"q one": {"text a": 1}}


def test_triples_have_labels_and_the_highest_one_counts(tmp_path: Path) -> None:
    rows = [("q", "a", 0), ("q", "b", 3), ("q", "a", 1), ("r", "b", 0)]
    path = write_table(tmp_path / "t.csv", [{"s1": q, "s2": d, "gold": label} for q, d, label in rows])
    found = read(triples={"files": path, "columns": {"query": "s1", "text": "s2", "label": "gold"}})
    assert by_text(found) == {"q": {"a": 1, "b": 3}, "r": {"b": 0}}
    assert "there is no column 'label'" in problem(triples={"files": path, "columns": {"query": "s1", "text": "s2"}})


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6).filter(str.strip)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 3)), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_what_triples_hold(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], shuffle: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("triples")
    written = [{"query": query, "text": text, "label": label} for query, text, label in rows]
    found = read(triples=write_table(folder / "a.jsonl", written))
    shuffle.shuffle(written)
    other = read(triples=write_table(folder / "b.jsonl", written))
    assert (list(found.corpus), found.queries, found.splits) == (list(other.corpus), other.queries, other.splits)
    assert list(found.queries) == list(other.queries)
    expected: dict[str, dict[str, int]] = {}
    for query, text, label in rows:
        judged = expected.setdefault(query.strip(), {})
        judged[text.strip()] = max(label, judged.get(text.strip(), 0))
    assert by_text(found) == expected

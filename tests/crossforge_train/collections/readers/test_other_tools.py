"""Readers of other tools' training and evaluation sets."""

import json
from pathlib import Path

import pytest
from reading import by_text, problem, read, write_table

from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import weighted
from crossforge_train.collections.readers.reader import source_depends_on
from crossforge_train.collections.storage import load_collection, save_collection
from crossforge_train.config.sources import AnySource


def negatives(collection: Collection) -> dict[str, list[str]]:
    return {
        collection.queries[key]: [collection.corpus[doc_id].text for doc_id in found]
        for key, found in collection.own_negatives.items()
    }


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


FLAG = {"query": "q", "pos": ["a", "b"], "neg": ["z", "y"], "pos_scores": [1, 0.5], "neg_scores": [0.1, 0]}
MESSAGES = {
    "messages": [{"role": "system", "content": "Find."}, {"role": "user", "content": "q"}],
    "positive_messages": [[{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": "b"}]],
    "negative_messages": [[{"role": "user", "content": "z"}], [{"role": "user", "content": "y"}]],
}
PASSAGES = {
    "query_id": 7,
    "query": "q",
    "positive_passages": [{"docid": "1", "title": "T", "text": "a"}, {"docid": 2, "text": "b"}],
    "negative_passages": [{"docid": "3", "title": None, "text": "z"}, {"docid": "4", "title": "", "text": "y"}],
}
BY_ID = {"query_id": "7", "query_text": "q", "positive_document_ids": [1, "2"], "negative_document_ids": ["3", "4"]}
TUPLE = {"anchor": "q", "positive": "a", "negative_1": "z", "negative_2": "y"}


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("flag_embedding", [FLAG]),
        ("cohere", [{"query": "q", "relevant_passages": ["a", "b"], "hard_negatives": ["z", "y"]}]),
        ("ms_swift", [MESSAGES]),
        (
            "ms_swift",
            [
                {"query": "q", "response": "a", "rejected_response": ["z", "y"]},
                {"query": "q", "response": "b", "rejected_response": ["z"]},
            ],
        ),
        ("tevatron", [PASSAGES]),
        ("sentence_transformers", [TUPLE, {"anchor": "q", "positive": "b", "negative_1": "y", "negative_2": None}]),
        ("sentence_transformers", [{"any": "q", "order": p, "counts": ["z", "y"], "score": [1, 0, 0]} for p in "ab"]),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_what_is_relevant_and_what_is_given_as_negatives(tmp_path: Path, kind: str, rows: list, suffix: str) -> None:
    found = read(**{kind: write(tmp_path / f"train{suffix}", *rows)})
    assert by_text(found) == {"q": {"a": 1, "b": 1}}
    assert negatives(found) == {"q": ["z", "y"]}
    assert len(found.corpus) == 4


def test_binary_texts_in_lists_of_parquet_are_texts(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", [{"query": b"q", "pos": [b"a"], "neg": [b"z", b"y"]}])
    found = read(flag_embedding=path)
    assert (by_text(found), negatives(found)) == ({"q": {"a": 1}}, {"q": ["z", "y"]})


def test_ids_titles_and_fields_are_kept(tmp_path: Path) -> None:
    found = read(tevatron=write(tmp_path / "t.jsonl", PASSAGES))
    assert found.splits == {"train": {"7": {"1": 1, "2": 1}}}
    assert found.own_negatives == {"7": ["3", "4"]}
    assert found.corpus["1"].full_text == "T\na"
    flag = read(flag_embedding=write(tmp_path / "f.jsonl", {**FLAG, "prompt": "Is it?", "type": "normal"}))
    assert list(flag.query_fields.values()) == [{"prompt": "Is it?", "type": "normal"}]
    assert list(read(ms_swift=write(tmp_path / "m.jsonl", MESSAGES)).query_fields.values()) == [{"prompt": "Find."}]


def test_a_list_in_json_is_read_and_places_are_entries(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([FLAG, {"query": "r", "pos": []}], indent=2))
    assert problem(flag_embedding=path) == f"{path}, entry 2: 'pos' is empty"
    path.write_text("[]")
    assert problem(flag_embedding=path) == f"{path}: no rows in it"


def test_splits_share_documents_and_files_are_fingerprinted(tmp_path: Path) -> None:
    files = {"train": write(tmp_path / "a.jsonl", FLAG), "test": write(tmp_path / "b.jsonl", {**FLAG, "pos": ["z"]})}
    files["test"].write_text(files["test"].read_text().replace(', "pos_scores": [1, 0.5]', ""))
    found = read(flag_embedding={"files": files})
    assert len(found.corpus) == 4
    assert by_text(found, "test") == {"q": {"z": 1}}
    assert len(source_depends_on(AnySource(flag_embedding={"files": files}))["files"]) == 2


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("flag_embedding", {"query": "q", "neg": ["z"]}, "'pos' is missing"),
        ("flag_embedding", {"query": "q", "pos": ["a", 3]}, "'pos' holds ['a', 3] where a list of texts is expected"),
        ("flag_embedding", {"query": " ", "pos": ["a"]}, "the query is empty"),
        ("flag_embedding", {"query": "q", "pos": ["a", " "]}, "a document is empty"),
        ("flag_embedding", {**FLAG, "neg_scores": [1]}, "'neg_scores' has 1 scores for 2 texts"),
        (
            "flag_embedding",
            {**FLAG, "pos_scores": [1, "x"]},
            "'pos_scores' holds [1, 'x'] where a list of numbers is expected",
        ),
        ("cohere", {"query": "q", "relevant_passages": []}, "'relevant_passages' is empty"),
        ("cohere", {"question": "q", "relevant_passages": ["a"]}, "there is no column 'query'; columns here: question"),
        ("ms_swift", {"messages": [{"role": "user", "content": "q"}]}, "'positive_messages' is missing or empty"),
        (
            "ms_swift",
            {**MESSAGES, "positive_messages": [["a"]]},
            "'positive_messages' holds ['a'] where messages such as",
        ),
        ("ms_swift", {**MESSAGES, "positive_messages": "a"}, "'positive_messages' holds 'a' where a list of lists"),
        ("tevatron", BY_ID, "there is no column 'positive_passages'; with ids of documents, name collection.tevatron."),
        ("tevatron", {**PASSAGES, "positive_passages": []}, "nothing is relevant to its query"),
        ("tevatron", {**PASSAGES, "negative_passages": ["z"]}, "'negative_passages' holds 'z' where docid and text"),
        (
            "tevatron",
            {**PASSAGES, "negative_passages": [{"docid": "1", "text": "x"}]},
            "the document id '1' stands for another text before",
        ),
        ("sentence_transformers", {"anchor": "q"}, "expected columns such as anchor, positive, negative or query"),
        ("sentence_transformers", {"q": "q", "d": ["a", "b"], "labels": [1]}, "'labels' has 1 labels for 2 documents"),
        ("sentence_transformers", {"q": "q", "d": "a", "label": "high"}, "the label 'high' is no number"),
        ("sentence_transformers", {"q": "q", "d": "a", "label": 0.7}, "the label 0.7 is no whole number; name"),
        ("sentence_transformers", {**TUPLE, "scores": [1, 2]}, "'scores' has 2 scores for 3 documents"),
    ],
)
def test_a_malformed_row_is_named_with_its_place(tmp_path: Path, kind: str, row: dict, message: str) -> None:
    good = {"flag_embedding": FLAG, "ms_swift": MESSAGES, "tevatron": PASSAGES, "sentence_transformers": TUPLE}
    path = write(tmp_path / "rows.jsonl", good.get(kind, {"query": "r", "relevant_passages": ["a"]}), row)
    assert problem(**{kind: path}).startswith(f"{path}, line 2: {message}")


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(f"{json.dumps(FLAG)}\n{{\n")
    assert problem(cohere=path).startswith(f"{path}, line 1: ")
    path.write_text(f"{json.dumps(FLAG)}\n{{\n")
    assert problem(flag_embedding=path).startswith(f"{path}, line 2: not valid JSON")
    path.write_text("3\n")
    assert problem(flag_embedding=path) == f"{path}, line 1: expected an object, found int"


def test_tevatrons_ids_lead_to_its_corpus(tmp_path: Path) -> None:
    corpus = write_table(tmp_path / "corpus.jsonl", [{"docid": str(n), "text": text} for n, text in enumerate("_abzy")])
    source = {"files": write(tmp_path / "train.jsonl", BY_ID), "corpus": corpus}
    found = read(tevatron=source)
    assert found.splits == {"train": {"7": {"1": 1, "2": 1}}}
    assert negatives(found) == {"q": ["z", "y"]}
    assert len(found.corpus) == 5
    path = write(tmp_path / "train.jsonl", {**BY_ID, "negative_document_ids": [9]})
    assert problem(tevatron=source) == f"{path}, line 1: there is no document '9'"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_labelled_pairs_are_judgements(tmp_path: Path, suffix: str) -> None:
    rows = [{"sentence_A": "q", "sentence_B": text, "label": label} for text, label in (("a", 2), ("b", 0))]
    found = read(sentence_transformers=write_table(tmp_path / f"pairs{suffix}", rows))
    assert by_text(found) == {"q": {"a": 2, "b": 0}}
    assert found.own_negatives == {}


def test_lists_of_documents_have_a_label_each(tmp_path: Path) -> None:
    row = {"query": "q", "docs": ["a", "b", "c"], "labels": [1, 0, 3]}
    assert by_text(read(sentence_transformers=write(tmp_path / "l.jsonl", row))) == {"q": {"a": 1, "b": 0, "c": 3}}


def test_continuous_labels_are_graded_by_the_thresholds_that_the_config_names(tmp_path: Path) -> None:
    row = {"query": "q", "docs": ["a", "b", "c", "d"], "scores": [0.29, 0.3, 0.5, 0.9]}
    source = {"files": write(tmp_path / "l.jsonl", row), "thresholds": [0.3, 0.6]}
    assert by_text(read(sentence_transformers=source)) == {"q": {"a": 0, "b": 1, "c": 1, "d": 2}}
    with pytest.raises(ValueError, match="thresholds must rise"):
        AnySource(sentence_transformers={**source, "thresholds": [0.6, 0.3]})


def test_a_margin_beside_negatives_is_counted_as_not_used(tmp_path: Path) -> None:
    rows = [{"query": "q", "positive": "a", "negative": f"b{n}", "label": label} for n, label in enumerate((0.7, 0.2))]
    found = read(sentence_transformers=write_table(tmp_path / "t.jsonl", rows))
    assert list(found.counted.values()) == [2]
    assert next(iter(found.counted)).startswith("rows whose label beside negatives is not used")
    scored = {"query": "q", "positive": "a", "negative": "b", "scores": [0.7, 0.2]}
    assert read(sentence_transformers=write(tmp_path / "s.jsonl", scored)).counted == {}


LLAMA = {
    "queries": {"q1": "what", "q2": "why"},
    "corpus": {"d1": "one", "d2": "two"},
    "relevant_docs": {"q1": ["d1"], "q2": ["d2", "d1"]},
    "mode": "text",
}


def test_a_llama_index_set_keeps_its_ids_and_files_share_a_corpus(tmp_path: Path) -> None:
    train, test = write(tmp_path / "train.json", LLAMA), tmp_path / "test.json"
    test.write_text(json.dumps({**LLAMA, "queries": {"q3": "who"}, "relevant_docs": {"q3": ["d2"]}}, indent=4))
    found = read(llama_index={"files": {"train": train, "test": test}})
    assert found.splits == {"train": {"q1": {"d1": 1}, "q2": {"d1": 1, "d2": 1}}, "test": {"q3": {"d2": 1}}}
    assert {key: document.text for key, document in found.corpus.items()} == LLAMA["corpus"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": None}, "no object under 'corpus'; EmbeddingQAFinetuneDataset.save_json writes such files"),
        ({"queries": {"q1": 3}}, "queries, 'q1': 3 where a text is expected"),
        ({"relevant_docs": {"q1": ["d9"]}}, "relevant_docs, 'q1': there is no document 'd9'"),
        ({"relevant_docs": {"q1": "d1"}}, "relevant_docs, 'q1': 'd1' where a list of document ids is expected"),
        ({"relevant_docs": {"q9": ["d1"]}}, "relevant_docs, 'q9': there is no query 'q9'"),
        ({"relevant_docs": {}}, "no judgements in it"),
        ({"corpus": {"d 1": "one"}}, "corpus, 'd 1': the id 'd 1' is empty or holds a space"),
    ],
)
def test_what_is_wrong_with_a_llama_index_set_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = write(tmp_path / "train.json", {**LLAMA, **change})
    found = problem(llama_index=path)
    assert found.startswith(str(path))
    assert message in found


def langchain_documents(folder: Path) -> Path:
    documents = pytest.importorskip("langchain_core.documents")
    rows = [
        documents.Document("one", id="d1", metadata={"title": "T", "key": "k1"}),
        documents.Document("two", id="d2", metadata={"key": "k2"}),
    ]
    path = folder / "documents.jsonl"
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows))
    return path


def test_langchains_documents_and_a_mapping_of_queries(tmp_path: Path) -> None:
    path = tmp_path / "queries.json"
    path.write_text(json.dumps({"what": ["d1"], "why": ["d2", "d1"]}, indent=1))
    found = read(langchain={"documents": langchain_documents(tmp_path), "queries": path})
    assert by_text(found) == {"what": {"one": 1}, "why": {"one": 1, "two": 1}}
    assert found.corpus["d1"].title == "T"
    assert found.corpus["d2"].metadata == {"key": "k2"}


def test_langchains_serialised_documents_and_examples_of_langsmith(tmp_path: Path) -> None:
    load, documents = pytest.importorskip("langchain_core.load"), pytest.importorskip("langchain_core.documents")
    path = tmp_path / "documents.json"
    path.write_text(f"[{load.dumps(documents.Document('one', metadata={'key': 'k1'}))}]")
    queries = write(tmp_path / "q.jsonl", {"inputs": {"question": "what"}, "outputs": {"sources": ["k1"]}})
    source = {"documents": path, "queries": queries, "query_key": "question", "ids_key": "sources"}
    assert problem(langchain=source).startswith(f"{path}, entry 1: no id under 'id'; name the key of the metadata")
    assert by_text(read(langchain={**source, "id_key": "key"})) == {"what": {"one": 1}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": "what"}, "no 'ids' in it; keys here: query"),
        ({"query": "what", "ids": "d1"}, "'d1' where a list of document ids is expected"),
        ({"query": "what", "ids": ["d9"]}, "there is no document 'd9'"),
        ({"query": 1, "ids": ["d1"]}, "1 where a query is expected"),
    ],
)
def test_what_is_wrong_with_langchains_queries_is_named(tmp_path: Path, row: dict, message: str) -> None:
    queries = write(tmp_path / "q.jsonl", row)
    source = {"documents": langchain_documents(tmp_path), "queries": queries}
    assert problem(langchain=source) == f"{queries}, line 1: {message}"


def test_own_negatives_survive_storage_mixes_and_weights(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", FLAG)
    parts = [{"flag_embedding": path, "name": "a"}, {"cohere": write(tmp_path / "c.jsonl", {
        "query": "r", "relevant_passages": ["c"]}), "name": "b"}]  # fmt: skip
    found = weighted(read(mix=parts), "train", {"a": 2, "b": 1}, seed=0)
    assert len(found.qrels("train")) == 3
    given = list(found.own_negatives.values())
    assert len(given) == 2
    assert given[0] == given[1]
    assert all(doc_id.startswith("a/") for doc_id in given[0])
    save_collection(tmp_path / "stored", found)
    assert load_collection(tmp_path / "stored").own_negatives == found.own_negatives

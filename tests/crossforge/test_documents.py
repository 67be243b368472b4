"""What counts as a document."""

import json

import pytest

from crossforge.documents import Document, as_documents, join_title, read_documents
from crossforge.errors import InputError


def test_strings_get_their_position_as_id():
    assert as_documents(["a", "b"]) == [Document("0", "a"), Document("1", "b")]


def test_documents_pass_through_untouched():
    document = Document("x", "text", "title", {"year": 1999})
    (found,) = as_documents([document])
    assert found is document


@pytest.mark.parametrize("key", ["_id", "doc_id", "id", "docid"])
def test_mappings_may_name_the_id_in_several_ways(key):
    (found,) = as_documents([{key: "x", "title": "T", "text": "t"}])
    assert found == Document("x", "t", "T")


def test_ids_become_strings_and_zero_is_an_id():
    assert [found.doc_id for found in as_documents([{"id": 7, "text": ""}, {"id": 0, "text": ""}])] == ["7", "0"]


def test_forms_may_be_mixed_and_positions_count_all_of_them():
    found = as_documents([{"_id": "x", "text": "a"}, "b", Document("y", "c"), {"text": "d"}])
    assert [document.doc_id for document in found] == ["x", "1", "y", "3"]


def test_other_keys_are_metadata():
    (found,) = as_documents([{"_id": "x", "text": "t", "year": 1999, "metadata": {"url": "u", "year": 1}}])
    assert found.metadata == {"url": "u", "year": 1999}


def test_a_title_of_none_is_no_title():
    assert as_documents([{"text": "t", "title": None}])[0].title == ""


@pytest.mark.parametrize("title, text, full", [("T", "t", "T\nt"), ("", "t", "t"), ("T", "", "T"), ("", "", "")])
def test_the_full_text_begins_with_the_title(title, text, full):
    assert Document("x", text, title).full_text == join_title(title, text) == full


@pytest.mark.parametrize(
    "documents",
    [
        [{"_id": "x", "text": "a"}, {"_id": "x", "text": "b"}],
        [{"id": 1, "text": "a"}, {"id": "1", "text": "b"}],
        ["a", {"_id": "0", "text": "b"}],
    ],
)
def test_two_documents_with_one_id_are_an_input_error(documents):
    with pytest.raises(InputError, match="two documents have the id"):
        as_documents(documents)


@pytest.mark.parametrize("value", [None, 3, b"text", ("id", "text")])
def test_what_is_no_document_is_an_input_error(value):
    with pytest.raises(InputError, match=f"document 1 is a {type(value).__name__}"):
        as_documents(["fine", value])


@pytest.mark.parametrize("value", [{}, {"text": None}, {"text": 3}, {"text": "t", "title": 3}, {"title": "T"}])
def test_a_mapping_without_a_string_text_is_an_input_error(value):
    with pytest.raises(InputError, match='string under "text"'):
        as_documents([value])


@pytest.mark.parametrize(("document", "what"), [(Document("1", None), "text"), (Document("1", "t", 3), "title")])
def test_a_document_without_a_string_text_is_an_input_error(document, what):
    with pytest.raises(InputError, match=f"the {what} of document 1 is a (NoneType|int); expected a string"):
        as_documents(["fine", document])


@pytest.mark.parametrize("metadata", ["text", 3, ["a"]])
def test_metadata_that_is_no_mapping_is_an_input_error(metadata):
    with pytest.raises(InputError, match="metadata"):
        as_documents([{"text": "t", "metadata": metadata}])


@pytest.mark.parametrize("documents", ["one document", {"_id": "x", "text": "one document"}])
def test_one_document_instead_of_a_list_is_an_input_error(documents):
    with pytest.raises(InputError):
        as_documents(documents)


class Frame(list):
    """As data frames do, it gives the names of its columns where it is iterated."""

    columns = ("text",)


def test_a_data_frame_is_an_input_error_and_not_the_names_of_its_columns():
    with pytest.raises(InputError, match=r"list of documents, found Frame; .* to_dict\("):
        as_documents(Frame(Frame.columns))


def write(path, *lines):
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_jsonl_is_read_with_blank_lines_left_out(tmp_path):
    path = write(tmp_path / "d.jsonl", '{"text": "ä"}', "", '{"text": "b"}')
    assert read_documents(path) == [Document("0", "ä"), Document("1", "b")]


WITH_ID, WITHOUT_ID = '{"docid": "x", "text": "a"}', '{"n": 1, "text": "b"}'


def test_ids_on_some_lines_only_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"d\.jsonl, line 2: no id under .* or docid; keys here: n, text$"):
        read_documents(write(tmp_path / "d.jsonl", WITH_ID, WITHOUT_ID))
    with pytest.raises(InputError, match=r"d\.jsonl, line 3: an id, where the documents before have none"):
        read_documents(write(tmp_path / "d.jsonl", WITHOUT_ID, "", WITH_ID))


def test_a_text_file_is_read_as_one_document_a_line(tmp_path):
    path = write(tmp_path / "d.txt", "first", "  ", "third")
    assert [document.text for document in read_documents(path)] == ["first", "third"]


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ('"text"', "expected a JSON object"),
        ('{"_id": "x"}', 'string under "text"'),
        ('{"text": 3}', 'string under "text"'),
        (json.dumps({"text": "t", "metadata": "m"}), "metadata"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path, line, complaint):
    path = write(tmp_path / "d.jsonl", '{"text": "fine"}', "", line)
    with pytest.raises(InputError, match=rf"d\.jsonl, line 3: .*{complaint}") as caught:
        read_documents(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["d.jsonl", "d.txt"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: no such file"):
        read_documents(tmp_path / name)


@pytest.mark.parametrize("name", ["d.jsonl", "d.txt"])
def test_an_empty_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: no documents"):
        read_documents(write(tmp_path / name, " ", ""))


@pytest.mark.parametrize("name", ["d.jsonl", "d.txt"])
def test_a_file_that_is_not_utf8_is_named(tmp_path, name):
    (tmp_path / name).write_bytes('{"text": "Käse"}'.encode("latin-1"))
    with pytest.raises(InputError, match=f"{name}.*UTF-8"):
        read_documents(tmp_path / name)


def test_an_id_that_stands_twice_in_a_file_is_named_with_it(tmp_path):
    with pytest.raises(InputError, match=r"d\.jsonl, line 2: the id 'x' appears twice"):
        read_documents(write(tmp_path / "d.jsonl", '{"_id": "x", "text": "a"}', '{"_id": "x", "text": "b"}'))


@pytest.mark.parametrize("name", ["d.csv", "d.TSV", "d.csv.gz", "d.parquet"])
def test_a_table_is_told_as_one(tmp_path, name):
    with pytest.raises(
        InputError, match=r"documents are read from JSONL, or from \.txt with one per line, and not from tables$"
    ):
        read_documents(tmp_path / name)

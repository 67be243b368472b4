"""Tevatron's training rows.

Source: Tevatron's data sets. Version 1 has rows of `query_id`, `query`, `positive_passages` and `negative_passages`,
each passage with `docid`, `title` and `text`; version 2 of `query_id`, `query_text`, `positive_document_ids` and
`negative_document_ids`, beside a corpus of `docid` and `text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.readers.assembly import distinct, documents_of
from crossforge_train.collections.readers.examples import Example, Text, collection_name, read_examples, read_records
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import Row, checked_id, id_cell, text_cell
from crossforge_train.config.other_tools import TevatronSource
from crossforge_train.config.sources import CorpusColumns

_COLUMNS = CorpusColumns(id="docid")


def read_tevatron(source: TevatronSource) -> Collection:
    """Read the rows of each split.

    Raises:
        InputError: a file cannot be read, a row is malformed, or an id is not in the corpus.
    """
    corpus = None if source.corpus is None else _corpus(source.corpus)
    rows = {split: _examples(path, corpus) for split, path in source.files.items()}
    return read_examples(collection_name(source.files), rows, corpus)


def files_of(source: TevatronSource) -> list[Path]:
    """What is read."""
    return [*source.files.values(), *([] if source.corpus is None else [source.corpus])]


def _corpus(path: Path) -> ArrowCorpus:
    return ArrowCorpus.from_documents(distinct(documents_of(read_records(path), _COLUMNS)))


def _examples(path: Path, corpus: Mapping[str, Document] | None) -> Iterator[Example]:
    for row in read_records(path):
        if corpus is not None:
            relevant, negatives = (_by_id(row, f"{kind}_document_ids") for kind in ("positive", "negative"))
        else:
            relevant, negatives = (_passages(row, f"{kind}_passages") for kind in ("positive", "negative"))
        if not relevant:
            raise InputError(f"{row.where}: nothing is relevant to its query")
        column = "query_text" if "query_text" in row.values else "query"
        yield Example(
            row.where,
            text_cell(row, column),
            [(text, 1) for text in relevant],
            negatives,
            query_id=id_cell(row, "query_id"),
        )


def _by_id(row: Row, column: str) -> list[Text]:
    return [Text("", doc_id=str(value)) for value in _list(row, column)]


def _passages(row: Row, column: str) -> list[Text]:
    return [_passage(row, column, value) for value in _list(row, column)]


def _passage(row: Row, column: str, value: Any) -> Text:
    found = value if isinstance(value, dict) else {}
    doc_id, text, title = found.get("docid"), found.get("text"), found.get("title") or ""
    if not isinstance(doc_id, str | int) or not isinstance(text, str) or not isinstance(title, str):
        raise InputError(f"{row.where}: {column!r} holds {value!r:.60} where docid and text are expected")
    return Text(text, title, checked_id(str(doc_id), row.where))


def _list(row: Row, column: str) -> list[Any]:
    if column not in row.values and column.startswith("positive"):
        way_out = "; with ids of documents, name collection.tevatron.corpus" if column.endswith("passages") else ""
        raise InputError(
            f"{row.where}: there is no column {column!r}{way_out}; columns here: {', '.join(map(str, row.values))}"
        )
    value = row.values.get(column) or []
    if not isinstance(value, list):
        raise InputError(f"{row.where}: {column!r} holds {value!r:.60} where a list is expected")
    return value


READER = Reader(read_tevatron, lambda source: file_hashes(files_of(source)))

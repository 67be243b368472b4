"""Rows that hold texts in place of ids: (query, relevant text) pairs and (query, text, label) triples.

The corpus is what the rows hold. Ids follow from content, and everything is put in their order, so that the order of
rows does not matter: equal texts are one document, and equal queries of one split are one query.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Set
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.readers.assembly import some
from crossforge_train.collections.readers.grades import Grading
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import (
    Row,
    is_number,
    label_cell,
    label_column,
    other_cells,
    read_rows,
    text_cell,
    title_cell,
)
from crossforge_train.config.sources import PairColumns, PairsSource, TripleColumns, TriplesSource

_KEY = "collection.triples.thresholds"
_ID_DIGITS = 20
# What others call their columns of irrelevant texts: neg, negatives, hard_negative_1, negative_passages, rejected.
_NEGATIVES = re.compile(
    r"(hard[ _-]?)?(neg|negative)s?([ _-]?(\d+|(doc|document|text|passage|ctx|context|sample|response)s?))?"
    r"|rejected([ _-]?responses?)?",
    re.IGNORECASE,
)


class _Example(NamedTuple):
    query: str
    title: str
    text: str
    label: int
    fields: Mapping[str, Any]


def read_labelled_files(source: PairsSource | TriplesSource) -> Collection:
    """Read the pairs or triples of each split.

    Raises:
        InputError: a table cannot be read, or a row lacks its query, its text or its label.
    """
    first = next(iter(source.files.values()))
    tables = {split: some(read_rows(path), f"{path}: no rows in it") for split, path in source.files.items()}
    grading = Grading(_KEY, source.thresholds if isinstance(source, TriplesSource) else None)
    return read_labelled(first.name.split(".")[0], tables, source.columns, grading)


def files_of(source: PairsSource | TriplesSource) -> list[Path]:
    """What is read."""
    return list(source.files.values())


def read_labelled(
    name: str, tables: Mapping[str, Iterable[Row]], columns: PairColumns, grading: Grading | None = None
) -> Collection:
    """A collection from the rows of each split; with `TripleColumns` they have labels, otherwise all are relevant.

    Columns that are not named belong to the query. Where its rows differ in one, it holds all of their values.
    Only labels need a grading; without one they are grades.

    Raises:
        InputError: a row lacks its query, its text or its label, or has a column of irrelevant texts, or of labels
            beside pairs.
    """
    documents: dict[str, tuple[str, str]] = {}
    queries: dict[str, str] = {}
    fields: dict[str, dict[str, list[Any]]] = {}
    splits: dict[str, dict[str, dict[str, int]]] = {split: {} for split in tables}
    grading = grading or Grading(_KEY)
    for split, rows in tables.items():
        for row in rows:
            found = _example(row, columns, grading)
            query_id, doc_id = content_id("q", split, found.query), content_id("d", found.title, found.text)
            documents[doc_id] = (found.title, found.text)
            queries[query_id] = found.query
            judged = splits[split].setdefault(query_id, {})
            judged[doc_id] = max(found.label, judged.get(doc_id, found.label))
            for field, value in found.fields.items():
                values = fields.setdefault(query_id, {}).setdefault(field, [])
                if value not in values:
                    values.append(value)
    corpus = ArrowCorpus.from_documents(
        Document(doc_id, text, title) for doc_id, (title, text) in sorted(documents.items())
    )
    return Collection(
        name,
        corpus,
        dict(sorted(queries.items())),
        {split: {key: dict(sorted(judged.items())) for key, judged in sorted(qrels.items())}
         for split, qrels in splits.items()},
        {query_id: dict(starmap(_merged, sorted(found.items()))) for query_id, found in sorted(fields.items())},
        counted=grading.counted,
    )  # fmt: skip


def _example(row: Row, columns: PairColumns, grading: Grading) -> _Example:
    used = set(columns.model_dump().values())
    _refuse_negatives(row, used)
    if not isinstance(columns, TripleColumns):
        _refuse_labels(row, used)
    query, text = text_cell(row, columns.query).strip(), text_cell(row, columns.text).strip()
    for name, value in ((columns.query, query), (columns.text, text)):
        if not value:
            raise InputError(f"{row.where}: column {name!r} is empty")
    title = title_cell(row, columns.title, "title" in columns.model_fields_set).strip()
    label = label_cell(row, columns.label, grading) if isinstance(columns, TripleColumns) else 1
    return _Example(query, title, text, label, other_cells(row, used))


def _refuse_negatives(row: Row, used: Set[str]) -> None:
    """Raise `InputError` for columns of irrelevant texts: nothing reads them, so they would be lost without a word."""
    for name, value in row.values.items():
        if name not in used and isinstance(value, str | list) and _NEGATIVES.fullmatch(name):
            raise InputError(
                f"{row.where}: nothing reads the irrelevant texts in column {name!r}; make each text a row of its own, "
                "with label 1 or 0, and name the file under collection.triples, or leave the column out; files of "
                "sentence-transformers, FlagEmbedding and others are read as they are, see docs/collections.md"
            )


def _refuse_labels(row: Row, used: Set[str]) -> None:
    """Raise `InputError` for labels beside pairs: what is labelled 0 would become relevant without a word."""
    others = {name: value for name, value in row.values.items() if name not in used}
    if name := label_column(key for key, value in others.items() if isinstance(value, bool) or is_number(str(value))):
        raise InputError(
            f"{row.where}: column {name!r} holds labels, which pairs do not have; read them with "
            f"collection.triples or collection.datasets and columns: {{label: {name}}} (for Collection.from_dataset, "
            "call the column label), or leave the column out if every row is relevant"
        )


def content_id(kind: str, *parts: str) -> str:
    """An id that follows from texts; `kind` is its first letter."""
    content = "\0".join(parts).encode("utf-8", "replace")
    return kind + hashlib.sha256(content).hexdigest()[:_ID_DIGITS]


def _merged(field: str, values: list[Any]) -> tuple[str, Any]:
    return field, values[0] if len(values) == 1 else sorted(values, key=str)


READER = Reader(read_labelled_files, lambda source: file_hashes(files_of(source)))

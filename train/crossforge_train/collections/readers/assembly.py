"""Puts documents, queries and judgements together and refuses what does not fit, naming where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple, TypeVar

from crossforge.documents import Document, IdKeys, as_document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.readers.grades import Grading
from crossforge_train.collections.readers.tables import (
    Row,
    checked_id,
    id_cell,
    label_cell,
    label_column,
    other_cells,
    text_cell,
    title_cell,
)
from crossforge_train.config.sources import CorpusColumns, QrelsColumns, QueryColumns

Item = TypeVar("Item")
_TITLE, _TEXT = "title", "text"


class Placed(NamedTuple):
    """A document and the file and line that it comes from."""

    where: str
    document: Document


class Query(NamedTuple):
    """A query; `fields` is what else stands beside its text."""

    where: str
    query_id: str
    text: str
    fields: Mapping[str, Any]


class Judgement(NamedTuple):
    """How relevant a document is to a query."""

    where: str
    query_id: str
    doc_id: str
    label: int


def assemble(
    name: str,
    documents: Iterable[Placed],
    queries: Iterable[Query],
    judgements: Mapping[str, Iterable[Judgement]],
) -> Collection:
    """A collection of documents, queries, and for each split its judgements.

    A document that is judged twice for one query counts with its highest label.

    Raises:
        InputError: an id stands twice, a judgement points nowhere, or a judged query is empty.
    """
    return judged_collection(name, ArrowCorpus.from_documents(distinct(documents)), queries, judgements)


def judged_collection(
    name: str,
    corpus: Mapping[str, Document],
    queries: Iterable[Query],
    judgements: Mapping[str, Iterable[Judgement]],
) -> Collection:
    """Like `assemble`, for documents that are there already."""
    texts: dict[str, str] = {}
    fields: dict[str, Mapping[str, Any]] = {}
    for query in queries:
        if query.query_id in texts:
            raise InputError(f"{query.where}: the query id {query.query_id!r} stands twice")
        texts[query.query_id] = query.text
        if query.fields:
            fields[query.query_id] = query.fields
    splits = {split: _qrels(found, corpus, texts) for split, found in judgements.items()}
    return Collection(name, corpus, texts, splits, fields)


def some(items: Iterable[Item], message: str) -> Iterator[Item]:
    """The items; `message` is the error if there is none."""
    found = False
    for item in items:
        found = True
        yield item
    if not found:
        raise InputError(message)


def distinct(documents: Iterable[Placed]) -> Iterator[Document]:
    """The documents; an id that stands twice is refused where it does so."""
    seen: set[str] = set()
    for where, document in documents:
        if document.doc_id in seen:
            raise InputError(f"{where}: the id {document.doc_id!r} stands twice; ids must be unique")
        seen.add(document.doc_id)
        yield document


def documents_of(rows: Iterable[Row], columns: CorpusColumns) -> Iterator[Placed]:
    """Documents from the rows of a table; the columns that are not named are metadata."""
    used = set(columns.model_dump().values())
    titled = "title" in columns.model_fields_set
    for row in rows:
        title = title_cell(row, columns.title, titled)
        text = text_cell(row, columns.text)
        yield Placed(row.where, Document(id_cell(row, columns.id), text, title, other_cells(row, used)))


def plain_documents(
    rows: Iterable[Row], title: str = _TITLE, text: str = _TEXT, *, numbered: bool = False
) -> Iterator[Placed]:
    """Documents from rows whose id stands under one of `ID_KEYS`.

    Args:
        rows: the rows of a table.
        title: column of titles; one of another name than usual must be there.
        text: column of texts.
        numbered: take the rows' numbers from 0 if none of them has an id.

    Raises:
        InputError: a row is malformed, or has no id where others have one.
    """
    id_keys = IdKeys(required=not numbered)
    for position, row in enumerate(rows):
        values = _renamed(row, title, text)
        try:
            document = as_document(values, position)
            id_keys.check(row.values)
        except InputError as error:
            raise InputError(f"{row.where}: {error}") from None
        checked_id(document.doc_id, row.where)
        yield Placed(row.where, document)


def _renamed(row: Row, title: str, text: str) -> Mapping[str, Any]:
    """A row with its title and text where `as_document` looks for them, in place of whatever else stands there."""
    if (title, text) == (_TITLE, _TEXT):
        return row.values
    values = {name: value for name, value in row.values.items() if name not in (title, text, _TITLE, _TEXT)}
    # A column that holds the texts is no title as well.
    values[_TITLE] = "" if title == text else title_cell(row, title, title != _TITLE)
    values[_TEXT] = text_cell(row, text)
    return values


def queries_of(rows: Iterable[Row], columns: QueryColumns) -> Iterator[Query]:
    """Queries from the rows of a table."""
    used = set(columns.model_dump().values())
    for row in rows:
        yield Query(row.where, id_cell(row, columns.id), text_cell(row, columns.text), other_cells(row, used))


def judgements_of(rows: Iterable[Row], columns: QrelsColumns, grading: Grading) -> Iterator[Judgement]:
    """Judgements from the rows of a table; the label is 1 if there is no column of labels.

    Args:
        rows: of the table.
        columns: their names.
        grading: makes grades of the labels.

    Raises:
        InputError: a row is malformed, or its labels are in a column of another name than expected.
    """
    labelled = "label" in columns.model_fields_set or bool(grading.thresholds)
    for row in rows:
        if not labelled and columns.label not in row.values:
            _refuse_labels(row, {columns.query, columns.document})
        label = label_cell(row, columns.label, grading) if labelled or columns.label in row.values else 1
        yield Judgement(row.where, id_cell(row, columns.query), id_cell(row, columns.document), label)


def _refuse_labels(row: Row, used: Set[str]) -> None:
    """Raise `InputError` for labels that nothing reads: what is labelled 0 would become relevant without a word."""
    if name := label_column(column for column in row.values if column not in used):
        raise InputError(
            f"{row.where}: nothing reads the labels in column {name!r}; add qrels_columns: {{label: {name}}}, or leave "
            "the column out if every row is relevant"
        )


def _qrels(judgements: Iterable[Judgement], corpus: Mapping[str, Document], queries: Mapping[str, str]) -> Qrels:
    qrels: dict[str, dict[str, int]] = {}
    for where, query_id, doc_id, label in judgements:
        if query_id not in queries:
            raise InputError(f"{where}: there is no query {query_id!r}")
        if doc_id not in corpus:
            raise InputError(f"{where}: there is no document {doc_id!r}")
        if not queries[query_id].strip():
            raise InputError(f"{where}: query {query_id!r} is empty")
        judged = qrels.setdefault(query_id, {})
        judged[doc_id] = max(label, judged.get(doc_id, label))
    return qrels

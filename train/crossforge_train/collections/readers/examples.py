"""Examples of other tools as a collection: a query, what is relevant to it, and what the file gives as negatives.

A negative of such a file was found by a machine as often as judged by a person, so it is no judgement: mining tries it
before anything that it finds itself, and a teacher may drop it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_json, read_lines
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.readers.assembly import some
from crossforge_train.collections.readers.labelled import content_id
from crossforge_train.collections.readers.tables import Row, is_finite, read_rows


class Text(NamedTuple):
    """A document of an example; without an id of its own, it gets one that follows from content."""

    text: str
    title: str = ""
    doc_id: str | None = None


@dataclass(frozen=True)
class Example:
    """What one row says.

    Attributes:
        where: file and line.
        query: text of the query.
        judged: documents with their labels.
        negatives: documents that the file gives as negatives, in its order.
        scores: documents with the scores that a teacher gave them.
        query_id: the query's own id, if it has one.
        fields: what else the row says of the query.
    """

    where: str
    query: str
    judged: Sequence[tuple[Text, int]]
    negatives: Sequence[Text] = ()
    scores: Sequence[tuple[Text, float]] = ()
    query_id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_examples(
    name: str, splits: Mapping[str, Iterable[Example]], corpus: Mapping[str, Document] | None = None
) -> Collection:
    """A collection of all examples: rows of one query are joined, and equal texts are one document.

    Args:
        name: of the collection.
        splits: split -> its examples.
        corpus: the documents, if the examples name them by id alone.

    Raises:
        InputError: a query or text is empty, nothing is relevant to a query, or an id stands for two texts.
    """
    found = _Found(corpus)
    for split, examples in splits.items():
        for example in examples:
            found.add(split, example)
    return found.collection(name)


def collection_name(files: Mapping[str, Path]) -> str:
    """What a collection is called that has a file for each split: as the first of them, without its endings."""
    return next(iter(files.values())).name.split(".")[0]


def read_rows_as_examples(files: Mapping[str, Path], example: Callable[[Row], Example]) -> Collection:
    """A collection of files, one for each split, each of whose rows is an example.

    Raises:
        InputError: a file cannot be read, or a row is malformed.
    """
    return read_examples(
        collection_name(files), {split: map(example, read_records(path)) for split, path in files.items()}
    )


def read_records(path: Path) -> Iterator[Row]:
    """Yield the rows of a table; a `.json` file may hold a list of objects, or one object a line.

    Raises:
        InputError: as for `read_rows`.
    """
    if not path.name.lower().removesuffix(".gz").endswith(".json"):
        return some(read_rows(path), f"{path}: no rows in it")
    return some(_json_records(path), f"{path}: no rows in it")


def texts_of(row: Row, column: str, *, required: bool = False) -> list[str]:
    """The texts in a column that holds a list of them, or one; none if the column is missing or null.

    Raises:
        InputError: it holds something else, or nothing although it is required.
    """
    value = row.values.get(column)
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{row.where}: {column!r} holds {value!r:.60} where a list of texts is expected")
    if required and not texts:
        raise InputError(f"{row.where}: {column!r} is {'empty' if column in row.values else 'missing'}")
    return texts


def scores_of(row: Row, column: str, texts: Sequence[str]) -> list[tuple[Text, float]]:
    """The texts with the scores in a column; none if the column is missing or null.

    Raises:
        InputError: it does not hold a number for each text.
    """
    scores = row.values.get(column)
    if scores is None:
        return []
    if not isinstance(scores, list) or not all(map(is_finite, scores)):
        raise InputError(f"{row.where}: {column!r} holds {scores!r:.60} where a list of numbers is expected")
    if len(scores) != len(texts):
        raise InputError(f"{row.where}: {column!r} has {len(scores)} scores for {len(texts)} texts")
    return [(Text(text), float(score)) for text, score in zip(texts, scores, strict=True)]


def some_fields(row: Row, *names: str) -> dict[str, Any]:
    """Those of the named columns that hold something."""
    return {name: row.values[name] for name in names if row.values.get(name) not in (None, "")}


class _Found:
    """What the examples so far say."""

    def __init__(self, corpus: Mapping[str, Document] | None) -> None:
        self._corpus = corpus
        self._texts: dict[str, Text] = {}
        self._queries: dict[str, str] = {}
        self._fields: dict[str, Mapping[str, Any]] = {}
        self._splits: dict[str, dict[str, dict[str, int]]] = {}
        self._negatives: dict[str, dict[str, None]] = {}
        self._scores: dict[str, dict[str, float]] = {}

    def add(self, split: str, example: Example) -> None:
        query_id = self._query(split, example)
        judged = self._splits.setdefault(split, {}).setdefault(query_id, {})
        for text, label in example.judged:
            doc_id = self._document(text, example.where)
            judged[doc_id] = max(label, judged.get(doc_id, label))
        negatives = self._negatives.setdefault(query_id, {})
        negatives.update(dict.fromkeys(self._document(text, example.where) for text in example.negatives))
        scores = self._scores.setdefault(query_id, {})
        for text, score in example.scores:
            doc_id = self._document(text, example.where)
            scores[doc_id] = max(score, scores.get(doc_id, score))  # whatever the order of rows

    def collection(self, name: str) -> Collection:
        """All of it, in the order of ids, so that the order of rows changes nothing but that of negatives."""
        documents = (Document(key, found.text, found.title) for key, found in sorted(self._texts.items()))
        return Collection(
            name,
            ArrowCorpus.from_documents(documents) if self._corpus is None else self._corpus,
            dict(sorted(self._queries.items())),
            {split: {key: dict(sorted(judged.items())) for key, judged in sorted(qrels.items())}
             for split, qrels in self._splits.items()},
            dict(sorted(self._fields.items())),
            own_negatives={key: list(found) for key, found in sorted(self._negatives.items()) if found},
            own_scores={key: dict(sorted(found.items())) for key, found in sorted(self._scores.items()) if found},
        )  # fmt: skip

    def _query(self, split: str, example: Example) -> str:
        text = example.query.strip()
        if not text:
            raise InputError(f"{example.where}: the query is empty")
        query_id = example.query_id or content_id("q", split, text)
        if self._queries.setdefault(query_id, text) != text:
            raise InputError(f"{example.where}: the query id {query_id!r} stands for another text before")
        if example.fields:
            self._fields.setdefault(query_id, example.fields)
        return query_id

    def _document(self, found: Text, where: str) -> str:
        if self._corpus is not None:
            if found.doc_id not in self._corpus:
                raise InputError(f"{where}: there is no document {found.doc_id!r}")
            return str(found.doc_id)
        text = found._replace(text=found.text.strip(), title=found.title.strip())
        if not text.text and not text.title:
            raise InputError(f"{where}: a document is empty")
        doc_id = text.doc_id or content_id("d", text.title, text.text)
        if self._texts.setdefault(doc_id, text) != text:
            raise InputError(f"{where}: the document id {doc_id!r} stands for another text before")
        return doc_id


def _json_records(path: Path) -> Iterator[Row]:
    first = next((line.strip() for line in read_lines(path) if line.strip()), "")
    if not first.startswith("["):
        for number, line in enumerate(read_lines(path), start=1):
            if line.strip():
                yield _record(_loaded(line, f"{path}, line {number}"), f"{path}, line {number}")
        return
    for number, value in enumerate(read_json(path), start=1):
        yield _record(value, f"{path}, entry {number}")


def _loaded(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not valid JSON; expected a list of objects, or one object a line") from None


def _record(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {type(value).__name__}")
    return Row(where, value)

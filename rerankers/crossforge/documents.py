"""`Document`, the unit of retrieval and reranking, and how to read documents from Python values and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from crossforge.errors import InputError
from crossforge.files import parse_json_object, read_lines

IdCheck = Callable[[str], None]
# Keys that may hold a document's id; the first one with a value does.
ID_KEYS = ("_id", "doc_id", "id", "docid")
_TABLES = (".csv", ".tsv", ".tab", ".parquet")


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `title` may be empty; `metadata` is passed through unchanged."""

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_text(self) -> str:
        """Title and text as one string, which the first stage indexes and the reranker reads."""
        return join_title(self.title, self.text)


def json_metadata(metadata: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Metadata as JSON holds it: dates by ISO 8601, numpy's values as plain ones, sets as lists, NaN as null.

    Args:
        metadata: of a document or a query.
        whose: for the message, such as "document '3'".

    Raises:
        InputError: a value is of another type that JSON does not have; the key is named.
    """
    found = {}
    for key, value in metadata.items():
        try:
            text = json.dumps(value, default=_json_value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{whose}: its metadata {key!r} cannot be stored ({error})") from None
        found[str(key)] = json.loads(text, parse_constant=lambda _: None)
    return found


def _json_value(value: Any) -> Any:
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if callable(as_plain := getattr(value, "tolist", None)):  # numpy's arrays and numbers, and tensors
        return as_plain()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no type that JSON has")


def join_title(title: str, text: str) -> str:
    """Put a title in front of a text or passage; the only place that defines this format."""
    return f"{title}\n{text}" if title and text else title or text


def as_documents(documents: Sequence[Document | Mapping[str, Any] | str]) -> list[Document]:
    """Make documents from strings (ids "0", "1", …) or mappings (`_id`, `title`, `text`; other keys become metadata).

    Raises:
        InputError: an item has another type, a text is missing, or two documents share an id.
    """
    found = read_each(documents)
    refuse_duplicate_ids(found)
    return found


def read_each(documents: Sequence[Document | Mapping[str, Any] | str]) -> list[Document]:
    """`as_documents` for documents that are going to get other ids: theirs may repeat."""
    if isinstance(documents, str | bytes | Mapping | Document) or not isinstance(documents, Iterable):
        raise InputError(f"expected a list of documents, found {type(documents).__name__}")
    if hasattr(documents, "columns"):  # a data frame is iterated by the names of its columns
        raise InputError(
            f"expected a list of documents, found {type(documents).__name__}; make its rows mappings, in pandas with "
            'to_dict("records")'
        )
    return [as_document(document, position) for position, document in enumerate(documents)]


def refuse_duplicate_ids(documents: Sequence[Document]) -> None:
    """Raise `InputError` if two documents have the same id."""
    seen: set[str] = set()
    for document in documents:
        if document.doc_id in seen:
            raise InputError(f"two documents have the id {document.doc_id!r}; ids must be unique")
        seen.add(document.doc_id)


def read_documents(path: Path, check_id: IdCheck | None = None) -> list[Document]:
    """Read documents from JSONL (one object per line) or, if the name ends in .txt or .text, plain text (one per line).

    Raises:
        InputError: the file is missing, empty, malformed or a table; the message names the file and, where it can, the
            line.
    """
    name = path.name.removesuffix(".gz").lower()
    if name.endswith(_TABLES):
        raise InputError(f"{path}: documents are read from JSONL, or from .txt with one per line, and not from tables")
    plain_text = name.endswith((".txt", ".text"))
    return parse_documents(read_lines(path), str(path), jsonl=not plain_text, check_id=check_id)


def parse_documents(
    lines: Iterable[str], source: str, *, jsonl: bool, check_id: IdCheck | None = None
) -> list[Document]:
    """Parse one document per line: JSON objects, or plain texts with ids "0", "1", …. Blank lines are skipped.

    Args:
        lines: the lines to parse.
        source: name of the input in error messages.
        jsonl: whether each line is a JSON object (true) or plain text (false).
        check_id: raises `InputError` for an id that the caller cannot use.

    Raises:
        InputError: there are no documents, a line is malformed, or an id appears twice; the message starts with
            `source`.
    """
    documents: list[Document] = []
    seen: set[str] = set()
    id_keys = IdKeys()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        value = parse_json_object(line, where) if jsonl else line.strip()
        try:
            document = as_document(value, len(documents))
            if isinstance(value, dict):
                id_keys.check(value)
            if check_id:
                check_id(document.doc_id)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if document.doc_id in seen:
            raise InputError(f"{where}: the id {document.doc_id!r} appears twice; ids must be unique")
        seen.add(document.doc_id)
        documents.append(document)
    if not documents:
        raise InputError(f"{source}: no documents in it")
    return documents


def id_key_of(values: Mapping[str, Any]) -> str | None:
    """The key of a mapping that holds its id; None if it has none."""
    return next((key for key in ID_KEYS if values.get(key) is not None), None)


class IdKeys:
    """Sees to it that all documents of a file have an id or none has: row numbers between ids would point elsewhere.

    Args:
        required: whether each document must have one.
    """

    def __init__(self, *, required: bool = False) -> None:
        self._expected: bool | None = required or None

    def check(self, values: Mapping[str, Any]) -> None:
        """Take the next document.

        Raises:
            InputError: it lacks an id that it should have, or has one where those before have none.
        """
        has_id = id_key_of(values) is not None
        if self._expected is None:
            self._expected = has_id
        if has_id == self._expected:
            return
        if has_id:
            raise InputError("an id, where the documents before have none; give each of them one, or none")
        found = ", ".join(map(str, values)) or "none"
        raise InputError(f"no id under {', '.join(ID_KEYS[:-1])} or {ID_KEYS[-1]}; keys here: {found}")


def as_document(value: Document | Mapping[str, Any] | str, position: int) -> Document:
    """Make one document from a string or a mapping; without an id of its own, it gets `position` as its id.

    Raises:
        InputError: the value has another type, or its text is missing or no string.
    """
    if isinstance(value, Document):
        for name, found in (("text", value.text), ("title", value.title)):
            if not isinstance(found, str):
                raise InputError(f"the {name} of document {position} is a {type(found).__name__}; expected a string")
        return value
    if isinstance(value, str):
        return Document(str(position), value)
    if not isinstance(value, Mapping):
        raise InputError(f"document {position} is a {type(value).__name__}; expected a string, a mapping or a Document")
    text, title = value.get("text"), value.get("title") or ""
    if not isinstance(text, str) or not isinstance(title, str):
        raise InputError('a document needs a string under "text" (and, if it has a title, a string under "title")')
    id_key = id_key_of(value)
    doc_id = str(position) if id_key is None else str(value[id_key])
    metadata = {key: item for key, item in value.items() if key not in (id_key, "text", "title", "metadata")}
    given = value.get("metadata") or {}
    if not isinstance(given, Mapping):
        raise InputError(f'"metadata" of document {doc_id!r} is a {type(given).__name__}, not a mapping')
    return Document(doc_id, text, title, {**given, **metadata})

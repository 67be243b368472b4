"""`Document`: what is retrieved, reranked and shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import parse_json_object, read_lines

IdCheck = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `title` may be empty; `metadata` is carried along untouched."""

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_text(self) -> str:
        """Title and text as one string: what the first stage indexes and the reranker reads."""
        return join_title(self.title, self.text)


def join_title(title: str, text: str) -> str:
    """The one place that says how a title stands before a text (or a passage of it)."""
    return f"{title}\n{text}" if title and text else title or text


def as_documents(documents: Sequence[Document | Mapping[str, Any] | str]) -> list[Document]:
    """Documents from strings (ids "0", "1", …) or mappings (`_id`, `title`, `text`; the rest is metadata).

    Raises:
        InputError: something else stands in the list, a text is missing, or two documents share an id.
    """
    if isinstance(documents, str | bytes | Mapping | Document) or not isinstance(documents, Iterable):
        raise InputError(f"expected a list of documents, found {type(documents).__name__}")
    found = [as_document(document, position) for position, document in enumerate(documents)]
    refuse_duplicate_ids(found)
    return found


def refuse_duplicate_ids(documents: Sequence[Document]) -> None:
    """Raise `InputError` if two documents have the same id."""
    seen: set[str] = set()
    for document in documents:
        if document.doc_id in seen:
            raise InputError(f"two documents have the id {document.doc_id!r}; ids must be unique")
        seen.add(document.doc_id)


def read_documents(path: Path, check_id: IdCheck | None = None) -> list[Document]:
    """Documents from a JSONL file (one object a line) or, if its name ends in .txt, a text file (one document a line).

    Raises:
        InputError: the file is missing, empty or malformed; the message gives file and line.
    """
    plain_text = path.name.removesuffix(".gz").endswith((".txt", ".text"))
    return parse_documents(read_lines(path), str(path), jsonl=not plain_text, check_id=check_id)


def parse_documents(
    lines: Iterable[str], source: str, *, jsonl: bool, check_id: IdCheck | None = None
) -> list[Document]:
    """Documents from lines: JSON objects, or plain texts, whose ids are then "0", "1", …; empty lines are passed over.

    Args:
        lines: what to read.
        source: what error messages call it.
        jsonl: whether a line is a JSON object or a text.
        check_id: raises `InputError` for an id that the caller cannot use.

    Raises:
        InputError: there is none, a line is malformed, or an id stands twice; the message opens with `source`.
    """
    documents: list[Document] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        value = parse_json_object(line, where) if jsonl else line.strip()
        try:
            document = as_document(value, len(documents))
            if check_id:
                check_id(document.doc_id)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if document.doc_id in seen:
            raise InputError(f"{where}: the id {document.doc_id!r} stands twice; ids must be unique")
        seen.add(document.doc_id)
        documents.append(document)
    if not documents:
        raise InputError(f"{source}: no documents in it")
    return documents


def as_document(value: Document | Mapping[str, Any] | str, position: int) -> Document:
    """One document from a string or a mapping; `position` is its id if it has none.

    Raises:
        InputError: it is something else, or its text is missing.
    """
    if isinstance(value, Document):
        return value
    if isinstance(value, str):
        return Document(str(position), value)
    if not isinstance(value, Mapping):
        raise InputError(f"document {position} is a {type(value).__name__}; expected a string, a mapping or a Document")
    text, title = value.get("text"), value.get("title") or ""
    if not isinstance(text, str) or not isinstance(title, str):
        raise InputError('a document needs a string under "text" (and, if it has a title, a string under "title")')
    id_key = next((key for key in ("_id", "doc_id", "id") if value.get(key) is not None), None)
    doc_id = str(position) if id_key is None else str(value[id_key])
    metadata = {key: item for key, item in value.items() if key not in (id_key, "text", "title", "metadata")}
    given = value.get("metadata") or {}
    if not isinstance(given, Mapping):
        raise InputError(f'"metadata" of document {doc_id!r} is a {type(given).__name__}, not a mapping')
    return Document(doc_id, text, title, {**given, **metadata})

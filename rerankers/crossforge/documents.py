"""`Document`: what is retrieved, reranked and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_jsonl


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
    found = [_as_document(document, position) for position, document in enumerate(documents)]
    refuse_duplicate_ids(found)
    return found


def refuse_duplicate_ids(documents: Sequence[Document]) -> None:
    """Raise `InputError` if two documents have the same id."""
    seen: set[str] = set()
    for document in documents:
        if document.doc_id in seen:
            raise InputError(f"two documents have the id {document.doc_id!r}; ids must be unique")
        seen.add(document.doc_id)


def read_documents(path: Path) -> list[Document]:
    """Documents from a JSONL file (one object a line) or from a text file (one document a line).

    Raises:
        InputError: the file is missing, empty or malformed; the message gives file and line.
    """
    documents = list(_documents_in(path))
    if not documents:
        raise InputError(f"{path}: no documents in it")
    try:
        refuse_duplicate_ids(documents)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return documents


def _documents_in(path: Path) -> Iterator[Document]:
    if path.suffix not in (".txt", ".text"):
        for number, row in read_jsonl(path):
            try:
                yield _as_document(row, number - 1)
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    yield from (Document(str(number), line) for number, line in enumerate(lines) if line.strip())


def _as_document(value: Document | Mapping[str, Any] | str, position: int) -> Document:
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
    return Document(doc_id, text, title, {**(value.get("metadata") or {}), **metadata})

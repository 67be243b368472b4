"""Reads documents alone: tables, text files, and folders of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_lines, read_text
from crossforge_train.collections.readers.assembly import Placed, documents_of, plain_documents
from crossforge_train.collections.readers.tables import Row, read_rows
from crossforge_train.config.documents import DocumentColumns
from crossforge_train.config.sources import CorpusColumns

_CORPUS_FILES = ("corpus.jsonl", "corpus.jsonl.gz")
_TEXT_SUFFIXES = (".md", ".markdown", ".txt")
_FIRST_HEADING = re.compile(r"\A\s*#{1,6}[ \t]+(.+?)[ \t#]*(?:\n|\Z)")


def read_placed(corpus: Path, columns: DocumentColumns) -> Iterator[Placed]:
    """Yield the documents of a table, a text file (one per line), a BEIR folder, or a folder of .md and .txt files.

    The heading that opens a Markdown file becomes its title; the id of a file is its path in the folder.

    Raises:
        InputError: there is nothing to read, or a row is malformed; the message names file and line.
    """
    if corpus.is_dir():
        for path in corpus_files(corpus):
            yield from read_placed(path, columns) if path.name in _CORPUS_FILES else [_whole(path, corpus)]
    elif corpus.name.lower().removesuffix(".gz").endswith((".txt", ".text")):
        lines = (line.strip() for line in read_lines(corpus))
        rows = (Row(f"{corpus}, line {number}", {columns.text: line}) for number, line in enumerate(lines, 1) if line)
        yield from plain_documents(rows, text=columns.text, numbered=True)
    elif corpus.name.lower().endswith((".md", ".markdown")):
        yield _whole(corpus, corpus.parent)
    elif columns.id is None:
        yield from plain_documents(read_rows(corpus), columns.title, columns.text, numbered=True)
    else:
        named = {name: getattr(columns, name) for name in columns.model_fields_set}
        yield from documents_of(read_rows(corpus), CorpusColumns(**named))


def corpus_files(corpus: Path) -> list[Path]:
    """The files to read.

    Raises:
        InputError: there are none.
    """
    if not corpus.is_dir():
        if not corpus.is_file():
            raise InputError(f"{corpus}: no such file or folder")
        return [corpus]
    tables = [corpus / name for name in _CORPUS_FILES if (corpus / name).is_file()]
    texts = (path for path in sorted(corpus.rglob("*")) if path.suffix.lower() in _TEXT_SUFFIXES and path.is_file())
    found = tables[:1] or list(texts)
    if not found:
        raise InputError(f"{corpus}: contains no corpus.jsonl and no .md or .txt file")
    return found


def corpus_name(corpus: Path) -> str:
    """What reports call documents that are read from here: the file's name without its suffixes, or the folder's."""
    path = corpus.resolve()
    return path.name if path.is_dir() else path.name.split(".")[0]


def _whole(path: Path, folder: Path) -> Placed:
    text = read_text(path)
    doc_id = re.sub(r"\s", "_", path.relative_to(folder).as_posix())
    heading = _FIRST_HEADING.match(text) if path.suffix.lower() != ".txt" else None
    title, body = (heading[1], text[heading.end() :]) if heading else ("", text)
    return Placed(str(path), Document(doc_id, body.strip(), title))

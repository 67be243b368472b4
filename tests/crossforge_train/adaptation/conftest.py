"""Documents that pseudo-queries are made from."""

from pathlib import Path

import pytest
from support import documents_with_definitions, write_lines


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A file of documents that sentence, title and question makers all find something in."""
    path = tmp_path / "docs.jsonl"
    write_lines(path, documents_with_definitions())
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 60 queries, each made of two words of a document's title."""
    path = tmp_path / "log.txt"
    texts = [row["title"].split()[0] + " " + row["title"].split()[2] for row in documents_with_definitions()]
    path.write_text("".join(f"{text}\n" for text in texts[:60]))
    return path

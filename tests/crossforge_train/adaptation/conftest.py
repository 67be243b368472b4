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

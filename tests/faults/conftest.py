"""What the kills, the locks and the disks share."""

from pathlib import Path

import pytest
from support import documents_with_definitions, toy_config, write_lines


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    path = tmp_path / "docs.jsonl"
    write_lines(path, documents_with_definitions())
    return path


@pytest.fixture
def config(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> Path:
    """A config whose runs are in a folder of their own."""
    (tmp_path / "own").mkdir()
    return toy_config(tmp_path / "own", toy_collection, tiny_encoder)

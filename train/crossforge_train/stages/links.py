"""Copies folders that are never modified, by hard links where possible."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def link_tree(source: Path, target: Path) -> None:
    """Make a folder with the files of another, hard-linked where possible; `target` may be there already."""
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    # Finished stages and tuned encoders are replaced as a whole and never modified, so runs can share files.
    try:
        os.link(source, target)
    except OSError:  # the file system does not support hard links
        shutil.copy2(source, target)

"""Answers that cost time or money, kept in a file to which whole lines are appended, so that they survive kills."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class AnswerFile:
    """Answers, which are JSON values, by key. May be added to from several threads.

    Args:
        path: the file; it and its folder are made with the first answer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._answers = dict(_read(path))

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __bool__(self) -> bool:
        return bool(self._answers)

    def __getitem__(self, key: str) -> Any:
        return self._answers[key]

    def add(self, answers: Mapping[str, Any]) -> None:
        """Store answers by key."""
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8", errors="replace") as lines:
                # Start with a newline: a kill may have truncated the previous line.
                lines.writelines(f"\n{json.dumps([key, found], ensure_ascii=False)}" for key, found in answers.items())
            self._answers.update(answers)


def digest(text: str) -> str:
    """A short name for a text, by which its answer is found again."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def file_for(folder: Path, settings: Mapping[str, Any]) -> Path:
    """The file for answers that depend on these settings."""
    return folder / f"{digest(json.dumps(settings, sort_keys=True))}.jsonl"


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.is_file():
        return
    # Not by splitlines(): an answer may hold signs at which that splits too, such as U+2028.
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                key, found = json.loads(line)
            except (ValueError, TypeError):  # empty or truncated
                continue
            yield key, found

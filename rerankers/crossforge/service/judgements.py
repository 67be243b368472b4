"""Judgements made on the page, appended to files that the next training reads."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from pathlib import Path

from crossforge.errors import InputError

# What `crossforge judge` and the page write in the folder of a run, and the stage `collect` reads.
JUDGEMENTS_FILE = "judgements.tsv"
# Beside the judgements: the texts of typed queries, in BEIR layout.
QUERIES_FILE = "judged_queries.jsonl"
# Marks a run folder.
RUN_FILE = "run.json"
# Seconds that a judgement waits for those of other processes.
_PATIENCE = 60
_HEADER = "query-id\tcorpus-id\tscore\n"


class JudgementLog:
    """Appends judgements to a file as `crossforge judge` writes it; a later one of the same pair counts.

    Args:
        path: the file; texts of queries go to `judged_queries.jsonl` beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queries = path.with_name(QUERIES_FILE)
        self._lock = threading.Lock()
        self._known: set[str] = set()

    def add(self, query: str, doc_id: str, relevant: bool) -> None:
        """Append one judgement.

        Raises:
            InputError: the query holds nothing to read, or the document's id is empty or contains white space.
        """
        if not any(character.isprintable() and not character.isspace() for character in query):
            raise InputError("the query is empty")
        if len(doc_id.split()) != 1:
            raise InputError(f"the id {doc_id!r} is empty or contains a space, which a judgements file cannot hold")
        text = " ".join(query.split())
        query_id = typed_query_id(text)
        with self._lock:
            if query_id not in self._known:
                _append(self._queries, json.dumps({"_id": query_id, "text": text}) + "\n")
                self._known.add(query_id)
            append_judgement(self._path, query_id, doc_id, int(relevant))


def judgements_of_run(package: Path) -> Path | None:
    """The judgements file of the run that a package belongs to; None if it belongs to none."""
    run = package.resolve().parent
    return run / JUDGEMENTS_FILE if (run / RUN_FILE).is_file() else None


def typed_query_id(query: str) -> str:
    """The id of a typed query; the same whatever its case and spacing."""
    text = " ".join(query.casefold().split())
    return "typed-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def append_judgement(path: Path, query_id: str, doc_id: str, label: int) -> None:
    """Append a judgement to a file that other processes may append to as well; it is written whole or not at all."""
    _append(path, f"{query_id}\t{doc_id}\t{label}\n", _HEADER)


def _append(path: Path, line: str, header: str = "") -> None:
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE, poll_interval=0.01)
    try:
        held = lock.acquire()
    except Timeout:  # an OSError that says neither why nor what
        why = f"another process has held the file for {_PATIENCE} seconds"
        raise TimeoutError(errno.ETIMEDOUT, why, str(path)) from None
    with held, path.open("ab+", buffering=0) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1))
        # Somebody's editor may have left the last line without its end.
        before = header if size == 0 else "" if stream.read(1) == b"\n" else "\n"
        left = memoryview((before + line).encode("utf-8", "replace"))
        try:
            while left:
                left = left[stream.write(left) or 0 :]
        except BaseException:  # a full disk takes half a line
            stream.truncate(size)
            raise

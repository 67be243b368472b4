"""Judgements made on the page, appended to files that the next training reads."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

from crossforge.errors import InputError

# What `crossforge judge` and the page write in the folder of a run, and the stage `collect` reads.
JUDGEMENTS_FILE = "judgements.tsv"
# Beside the judgements: the texts of typed queries, in BEIR layout.
QUERIES_FILE = "judged_queries.jsonl"
# Marks a run folder.
RUN_FILE = "run.json"
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
            header = "" if self._path.is_file() else _HEADER
            _append(self._path, f"{header}{query_id}\t{doc_id}\t{int(relevant)}\n")


def judgements_of_run(package: Path) -> Path | None:
    """The judgements file of the run that a package belongs to; None if it belongs to none."""
    run = package.resolve().parent
    return run / JUDGEMENTS_FILE if (run / RUN_FILE).is_file() else None


def typed_query_id(query: str) -> str:
    """The id of a typed query; the same whatever its case and spacing."""
    text = " ".join(query.casefold().split())
    return "typed-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(line)

"""Runs: for each query the retrieved documents with their scores, best first; TREC format on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from crossforge.errors import InputError
from crossforge.files import read_lines, written_atomically


class Candidate(NamedTuple):
    """A document that a system retrieved for a query."""

    doc_id: str
    score: float


# query id -> candidates, best first
Run = Mapping[str, list[Candidate]]


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write `query Q0 document rank score tag` lines, whole or not at all.

    Raises:
        InputError: an id is empty or holds a space, which the format cannot carry.
    """
    for name in (*run, *(found.doc_id for candidates in run.values() for found in candidates)):
        if len(name.split()) != 1 or name != name.strip():
            raise InputError(f"{path}: the id {name!r} is empty or holds a space, which a TREC run cannot carry")
    with written_atomically(path) as beside, beside.open("w", encoding="utf-8") as lines:
        for query_id, candidates in run.items():
            for rank, (doc_id, score) in enumerate(candidates, start=1):
                lines.write(f"{query_id} Q0 {doc_id} {rank} {score!r} {tag}\n")


def read_run(path: Path) -> dict[str, list[Candidate]]:
    """Read a TREC run; the order of a query's documents is that of the rank column.

    Raises:
        InputError: a line does not have six columns, or a rank or score is no number.
    """
    ranked: dict[str, list[tuple[int, Candidate]]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            query_id, _, doc_id, rank, score, _ = line.split()
            ranked.setdefault(query_id, []).append((int(rank), Candidate(doc_id, float(score))))
        except ValueError:
            raise InputError(f"{path}, line {number}: expected 'query Q0 document rank score tag'") from None
    return {query_id: [found for _, found in sorted(rows, key=lambda row: row[0])] for query_id, rows in ranked.items()}

"""Runs: each query's retrieved documents with their scores, best first, stored in TREC format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crossforge.errors import InputError
from crossforge.files import read_lines, written_atomically


class Candidate(NamedTuple):
    """A document retrieved for a query, with the system's score."""

    doc_id: str
    score: float


# query id -> candidates, best first
Run = Mapping[str, list[Candidate]]


def trec_sorted(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One query's documents in trec_eval's order: descending score, ties by descending document id.

    As in trec_eval, scores are compared as 32-bit floats.
    """
    return sorted(candidates, key=lambda found: (np.float32(found.score), found.doc_id), reverse=True)


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write `query Q0 document rank score tag` lines, atomically.

    Raises:
        InputError: an id is empty or contains whitespace, which the format does not allow.
    """
    for name in (*run, *(found.doc_id for candidates in run.values() for found in candidates)):
        if len(name.split()) != 1 or name != name.strip():
            raise InputError(f"{path}: the id {name!r} is empty or contains whitespace, which a TREC run cannot hold")
    with written_atomically(path) as beside, beside.open("w", encoding="utf-8") as lines:
        for query_id, candidates in run.items():
            for rank, (doc_id, score) in enumerate(candidates, start=1):
                lines.write(f"{query_id} Q0 {doc_id} {rank} {score!r} {tag}\n")


def ids_by_query(run: Run) -> dict[str, list[str]]:
    """Query id -> ids of its documents, in the run's order."""
    return {query_id: [found.doc_id for found in candidates] for query_id, candidates in run.items()}


def read_run(path: Path) -> dict[str, list[Candidate]]:
    """Read a TREC run; each query's documents are ordered by the rank column.

    Raises:
        InputError: the file cannot be read, a line does not have six columns, a rank is not a number, a score is not a
            finite one, or a document stands twice for a query.
    """
    ranked: dict[str, dict[str, tuple[int, Candidate]]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            query_id, _, doc_id, rank, score, _ = line.split()
            place, found = int(rank), Candidate(doc_id, float(score))
        except ValueError:
            raise InputError(f"{path}, line {number}: expected 'query Q0 document rank score tag'") from None
        if not math.isfinite(found.score):
            raise InputError(f"{path}, line {number}: the score {score} is not finite, so it ranks nothing")
        of_query = ranked.setdefault(query_id, {})
        if doc_id in of_query:
            raise InputError(
                f"{path}, line {number}: document {doc_id!r} is found twice for query {query_id!r}; keep its best place"
            )
        of_query[doc_id] = (place, found)
    return {query_id: _by_rank(of_query.values()) for query_id, of_query in ranked.items()}


def _by_rank(ranked: Iterable[tuple[int, Candidate]]) -> list[Candidate]:
    return [found for _, found in sorted(ranked, key=lambda row: row[0])]

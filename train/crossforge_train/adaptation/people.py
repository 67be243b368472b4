"""What people judged of documents for queries that are no pseudo-queries: what a machine's grades are measured by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from crossforge.documents import Document
from crossforge_train.collections.beir import read_judged
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.collections.splits import drawn_shares

JUDGED = "judged"  # the split of what `crossforge judge DOCUMENTS` writes


class JudgedPair(NamedTuple):
    """A query's text and a document's id."""

    query: str
    doc_id: str


def judged_by_people(
    texts: Mapping[str, str], corpus: Mapping[str, Document], folder: Path | None, workplace: Workplace
) -> dict[JudgedPair, int]:
    """Pair -> label, of documents that are still there; a run's own judgements override those of the folder.

    Args:
        texts: query id -> text of queries that a run's judgements may name, besides those that were typed.
        corpus: the documents.
        folder: what `crossforge judge DOCUMENTS` wrote, if anything.
        workplace: has the run's judgements.
    """
    found: dict[JudgedPair, int] = {}
    if folder is not None:
        judged = read_judged(folder, corpus, known_only=True)
        _add(found, judged.qrels(JUDGED), judged.queries, corpus)
    _add(found, workplace.judgements, {**texts, **workplace.typed}, corpus)
    return found


def drawn_pairs(pairs: Mapping[JudgedPair, int], most: int, seed: int) -> list[JudgedPair]:
    """At most as many pairs as wanted, query by query in a seeded order."""
    shares = drawn_shares({pair.query: pair.query for pair in pairs}, f"{seed}:compared")
    return sorted(pairs, key=lambda pair: (shares[pair.query], pair))[:most]


def _add(
    found: dict[JudgedPair, int],
    qrels: Mapping[str, Mapping[str, int]],
    texts: Mapping[str, str],
    corpus: Mapping[str, Document],
) -> None:
    for query_id, labels in qrels.items():
        for doc_id, label in labels.items():
            if query_id in texts and doc_id in corpus:
                found[JudgedPair(texts[query_id], doc_id)] = label

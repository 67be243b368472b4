"""What people judged of documents for queries that are no pseudo-queries.

A machine's labels are measured by it, and give way to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from crossforge.documents import Document
from crossforge_train.collections.beir import read_judged
from crossforge_train.collections.collection import Qrels
from crossforge_train.collections.query_key import query_key
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.collections.splits import drawn_shares

JUDGED = "judged"  # the split of what `crossforge judge DOCUMENTS` writes


class JudgedPair(NamedTuple):
    """A query's text and a document's id."""

    query: str
    doc_id: str


def judged_by_people(
    corpus: Mapping[str, Document], folder: Path | None, workplace: Workplace
) -> dict[JudgedPair, int]:
    """Pair -> label, of documents that are still there; judgements on the service's page override those of the folder.

    Answers to the tables of a run are not among them: `mine/suspects.tsv` is chosen for looking wrong, and would make
    every judge look bad.

    Args:
        corpus: the documents.
        folder: what `crossforge judge DOCUMENTS` wrote, if anything.
        workplace: has the run's judgements, and the queries that were typed.
    """
    found: dict[JudgedPair, int] = {}
    if folder is not None:
        judged = read_judged(folder, corpus, known_only=True)
        _add(found, judged.qrels(JUDGED), judged.queries, corpus)
    _add(found, workplace.judgements, workplace.typed, corpus)
    return found


def answers_to_tables(
    texts: Mapping[str, str], corpus: Mapping[str, Document], workplace: Workplace
) -> dict[JudgedPair, int]:
    """Pair -> label, of what people answered to the tables of the run.

    Args:
        texts: query id -> text of the queries that the tables may name.
        corpus: the documents.
        workplace: has the run's judgements.
    """
    found: dict[JudgedPair, int] = {}
    _add(found, workplace.judgements, texts, corpus)
    return found


def said_of(texts: Mapping[str, str], judged: Mapping[JudgedPair, int]) -> dict[str, dict[str, int]]:
    """Query id -> document id -> label, of what people judged for these queries.

    Args:
        texts: query id -> text; `query_key` says which texts are the same query.
        judged: of any queries.
    """
    ids = {query_key(text): query_id for query_id, text in texts.items()}
    found: dict[str, dict[str, int]] = {}
    for pair, label in judged.items():
        if (query_id := ids.get(query_key(pair.query))) is not None:
            found.setdefault(query_id, {})[pair.doc_id] = label
    return found


def corrected(labels: Qrels, said: Qrels, least: int) -> dict[str, Mapping[str, int]]:
    """A machine's labels where people said nothing, and what they said; only queries with a relevant document.

    A 1 of people says that a document is relevant, not how much: then a higher grade of the machine stays.

    Args:
        labels: the machine's.
        said: what people said of the same documents, or of others.
        least: the machine's lowest grade that is relevant.
    """
    found = dict(labels)
    for query_id, judged in said.items():
        ours = labels.get(query_id, {})
        found[query_id] = {
            **ours,
            **{doc_id: _settled(label, ours.get(doc_id, 0) or least) for doc_id, label in judged.items()},
        }
    return {query_id: judged for query_id, judged in found.items() if any(judged.values())}


def _settled(said: int, grade: int) -> int:
    return max(said, grade) if said == 1 else max(0, said)


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

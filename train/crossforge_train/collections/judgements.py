"""Judgements that people made by hand: one file a run, which the next run honours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crossforge_train.collections.beir import read_qrels
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import copied_from

JUDGEMENTS_FILE = "judgements.tsv"

# query id -> document id -> relevance
Judgements = dict[str, dict[str, int]]


def read_judgements(path: Path) -> Judgements:
    """Read a judgement file; the later of two judgements of one pair counts. Empty if there is no file.

    Raises:
        InputError: a line is malformed.
    """
    judgements: Judgements = {}
    for found in read_qrels(path) if path.is_file() else ():
        judgements.setdefault(found.query_id, {})[found.doc_id] = found.label
    return judgements


def with_judgements(collection: Collection, judgements: Mapping[str, Mapping[str, int]]) -> Collection:
    """The collection with these judgements in place of its own, in whatever split a query stands.

    Queries and documents that it does not hold (any more) are passed over. What was said of one of the copies that a
    weight makes of a query counts for the query and all of its copies.
    """
    by_query: Judgements = {}
    for query_id, judged in judgements.items():
        by_query.setdefault(_original(collection, query_id), {}).update(judged)
    splits = {
        split: {
            query_id: {**judged, **_known(collection, by_query.get(_original(collection, query_id), {}))}
            for query_id, judged in qrels.items()
        }
        for split, qrels in collection.splits.items()
    }
    return collection.with_splits(splits)


def _original(collection: Collection, query_id: str) -> str:
    """The query that a weighted copy was made of; any other query is its own."""
    original = copied_from(query_id)
    same = original in collection.queries and collection.queries[original] == collection.queries.get(query_id)
    return original if same else query_id


def _known(collection: Collection, judged: Mapping[str, int]) -> dict[str, int]:
    return {doc_id: label for doc_id, label in judged.items() if doc_id in collection.corpus}

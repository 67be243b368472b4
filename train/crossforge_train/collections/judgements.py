"""Judgements made by people: one file per run, which the next run uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crossforge_train.collections.beir import read_qrels
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import original_query

# query id -> document id -> relevance
Judgements = dict[str, dict[str, int]]


def read_judgements(path: Path) -> Judgements:
    """Read a judgement file; the last judgement of a pair counts. Empty if there is no file.

    Raises:
        InputError: a line is malformed.
    """
    judgements: Judgements = {}
    for _, query_id, doc_id, label in read_qrels(path) if path.is_file() else ():
        judgements.setdefault(query_id, {})[doc_id] = label
    return judgements


def with_judgements(collection: Collection, judgements: Mapping[str, Mapping[str, int]]) -> Collection:
    """The collection with these judgements overriding its own, in all splits.

    A judgement of a query applies to all of its copies in a mix, and vice versa. Queries and documents that are not, or
    no longer, in the collection are ignored.
    """
    said: Judgements = {}
    for query_id, judged in judgements.items():
        said.setdefault(original_query(query_id, collection.queries), {}).update(_known(collection, judged))
    splits = {
        split: {
            query_id: {**judged, **said.get(original_query(query_id, collection.queries), {})}
            for query_id, judged in qrels.items()
        }
        for split, qrels in collection.splits.items()
    }
    return collection.with_splits(splits)


def _known(collection: Collection, judged: Mapping[str, int]) -> dict[str, int]:
    return {doc_id: label for doc_id, label in judged.items() if doc_id in collection.corpus}

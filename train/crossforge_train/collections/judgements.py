"""Judgements that people made by hand: one file a run, which the next run honours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_lines
from crossforge_train.collections.beir import QRELS_HEADER
from crossforge_train.collections.collection import Collection

JUDGEMENTS_FILE = "judgements.tsv"

# query id -> document id -> relevance
Judgements = dict[str, dict[str, int]]


def read_judgements(path: Path) -> Judgements:
    """Read a judgement file; the later of two judgements of one pair counts. Empty if there is no file.

    Raises:
        InputError: a line is malformed.
    """
    judgements: Judgements = {}
    if not path.is_file():
        return judgements
    for number, line in enumerate(read_lines(path), start=1):
        cells = tuple(line.rstrip("\n").split("\t"))
        if not line.strip() or cells == QRELS_HEADER:
            continue
        try:
            query_id, doc_id, label = cells
            judgements.setdefault(query_id, {})[doc_id] = int(label)
        except ValueError:
            raise InputError(f"{path}, line {number}: expected query-id, corpus-id and a whole number") from None
    return judgements


def with_judgements(collection: Collection, judgements: Mapping[str, Mapping[str, int]]) -> Collection:
    """The collection with these judgements in place of its own, in whatever split a query stands.

    Queries and documents that it does not hold (any more) are passed over.
    """
    splits = {
        split: {
            query_id: {**judged, **_known(collection, judgements.get(query_id, {}))}
            for query_id, judged in qrels.items()
        }
        for split, qrels in collection.splits.items()
    }
    return collection.with_splits(splits)


def _known(collection: Collection, judged: Mapping[str, int]) -> dict[str, int]:
    return {doc_id: label for doc_id, label in judged.items() if doc_id in collection.corpus}

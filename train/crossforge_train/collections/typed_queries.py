"""Queries that people typed into the page of `crossforge serve`, with their judgements of the documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import parse_json_object
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.judgements import Judgements
from crossforge_train.collections.query_key import query_key


def read_typed_queries(path: Path, warn: Callable[[str], None] = lambda warning: None) -> dict[str, str]:
    """Read the service's file of typed queries: query id -> text; empty if there is no file.

    Args:
        path: the file. It is written for strangers, so a line that is of no use is left out and ends no training.
        warn: is told of each line that is left out.
    """
    queries: dict[str, str] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.is_file() else (), start=1):
        try:
            if line.strip():
                query_id, text = _typed_query(line, f"{path}, line {number}")
                queries[query_id] = text
        except InputError as error:
            warn(f"left out: {error}")
    return queries


def _typed_query(line: bytes, where: str) -> tuple[str, str]:
    row = parse_json_object(line.decode("utf-8", "replace"), where)
    query_id, text = row.get("_id"), row.get("text")
    if not isinstance(query_id, str) or not isinstance(text, str) or not text.strip():
        raise InputError(f'{where}: expected {{"_id": …, "text": …}}')
    return query_id, text


def with_typed_queries(
    collection: Collection, judgements: Mapping[str, Mapping[str, int]], typed: Mapping[str, str], split: str
) -> tuple[Collection, Judgements]:
    """Add new typed queries to the collection, and map all other judgements to the collection's query ids.

    A query that the collection already has in any split is judged wherever it stands. A new query is added to `split`
    if a document of the corpus was judged relevant to it; nothing can be learned from a query without one. If it
    repeats a query that is in no split, such as one that leaked, it has the fields of that one, so that leaks can be
    looked for again.

    Args:
        collection: collection with all its splits.
        judgements: query id -> document id -> relevance.
        typed: query id -> text.
        split: split for the new queries.

    Returns:
        The extended collection, and the judgements of the queries that were not added.
    """
    ids, fields = _ids_by_key(collection), _fields_by_key(collection)
    known: Judgements = {}
    new: Judgements = {}
    for query_id, judged in judgements.items():
        if query_id in collection.queries or query_id not in typed:
            known.setdefault(query_id, {}).update(judged)
        elif own := ids.get(query_key(typed[query_id])):
            for known_id in own:
                known.setdefault(known_id, {}).update(judged)
        else:
            new[query_id] = {doc_id: label for doc_id, label in judged.items() if doc_id in collection.corpus}
    learnable = {query_id: judged for query_id, judged in new.items() if any(label > 0 for label in judged.values())}
    extended = replace(
        collection,
        queries={**collection.queries, **{query_id: typed[query_id] for query_id in learnable}},
        query_fields={
            **collection.query_fields,
            **{query_id: found for query_id in learnable if (found := fields.get(query_key(typed[query_id])))},
        },
        splits={**collection.splits, split: {**collection.qrels(split), **learnable}},
    )
    return extended, known


def _ids_by_key(collection: Collection) -> dict[str, list[str]]:
    """Key -> the queries that have it, of those in a split: what is said of others would be lost."""
    found: dict[str, list[str]] = {}
    for qrels in collection.splits.values():
        for query_id in qrels:
            found.setdefault(query_key(collection.queries[query_id]), []).append(query_id)
    return found


def _fields_by_key(collection: Collection) -> dict[str, Mapping[str, Any]]:
    """Key -> the fields of a query that has it and stands in no split."""
    placed = {query_id for qrels in collection.splits.values() for query_id in qrels}
    return {
        query_key(collection.queries[query_id]): found
        for query_id, found in collection.query_fields.items()
        if query_id not in placed and query_id in collection.queries
    }

"""Splits by query; related queries (same text, near-copies, a shared document or group) stay in the same split."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from crossforge.errors import InputError
from crossforge.retrievers.analysis import runs_of_letters
from crossforge_train.collections.collection import Collection, Qrels, positives
from crossforge_train.collections.near_copies import near_copies

# Least cosine of two queries' character 3-grams for them to count as nearly the same text.
NEARLY_SAME = 0.9


def carve(
    collection: Collection,
    share: float,
    seed: int | str,
    *,
    source: str = "train",
    name: str = "dev",
    group_by: str | None = None,
) -> Collection:
    """Move a share of the source split's queries into a new split.

    Queries move together if they have the same or nearly the same text, a relevant document in common, or the same
    value of the field `group_by`.

    Raises:
        InputError: the source split is too small to be divided.
    """
    qrels = collection.qrels(source)
    clusters = _query_clusters(collection, qrels, group_by)
    moved = {query_id for query_id, drawn in drawn_shares(clusters, seed).items() if drawn < share}
    if not moved or len(moved) == len(qrels):
        raise InputError(
            f"split {source} has {len(qrels)} queries in {len(set(clusters.values()))} groups of related ones: too few "
            f"to carve a share of {share} out of it; change the share or add queries"
        )
    return collection.with_splits(
        {
            **collection.splits,
            source: {query_id: found for query_id, found in qrels.items() if query_id not in moved},
            name: {query_id: found for query_id, found in qrels.items() if query_id in moved},
        }
    )


def normalized(text: str) -> str:
    """A text without case, punctuation and extra spacing; texts that differ only in these become equal.

    Ids of queries are made of it, and people's judgements stand under these: a change to it makes them strangers.
    """
    # Composed once the case is gone, because some letters without case are decomposed.
    folded = unicodedata.normalize("NFC", text.casefold()).replace("_", " ")
    return " ".join(runs_of_letters(folded))


def fingerprint(text: str) -> str:
    """A hash of a text, 32 characters, for comparing many texts without keeping them in memory."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def group_values(collection: Collection, query_id: str, group_by: str | None) -> list[str]:
    """The groups of a query: the value or values of its field `group_by`; none if the field is missing."""
    if group_by is None:
        return []
    value: Any = collection.query_fields.get(query_id, {}).get(group_by)
    return [str(one) for one in (value if isinstance(value, list | tuple) else [value]) if one is not None]


def require_groups(collection: Collection, group_by: str) -> None:
    """Raise `InputError` if no query has the field."""
    if any(group_by in fields for fields in collection.query_fields.values()):
        return
    known = sorted({name for fields in collection.query_fields.values() for name in fields})
    raise InputError(
        f"collection.group_by: no query has the field {group_by!r}; fields here: {', '.join(known) or 'none'}"
    )


def drawn_shares(clusters: Mapping[str, str], seed: int | str) -> dict[str, float]:
    """Key -> a number in [0, 1) that depends only on its cluster and the seed, not on order or other keys."""

    def drawn(cluster: str) -> float:
        return int.from_bytes(hashlib.sha256(f"{seed}:{cluster}".encode()).digest()[:8], "big") / 2**64

    return {key: drawn(cluster) for key, cluster in clusters.items()}


def connected(keys: Sequence[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Key -> the smallest key of its connected component."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    position = {key: index for index, key in enumerate(keys)}
    edges = [(position[left], position[right]) for left, right in links]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    graph = coo_matrix((np.ones(len(edges)), (rows, columns)), shape=(len(keys), len(keys)))
    _, labels = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for key, label in zip(keys, labels, strict=True):
        smallest[label] = min(key, smallest.get(label, key))
    return {key: smallest[label] for key, label in zip(keys, labels, strict=True)}


def nearly_same(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of positions of nearly identical queries; `texts` must be normalized and distinct."""
    return near_copies(texts, NEARLY_SAME, "characters")


def _query_clusters(collection: Collection, qrels: Qrels, group_by: str | None) -> dict[str, str]:
    by_text: dict[str, list[str]] = {}
    sharing: dict[str, list[str]] = {}
    for query_id, judgements in qrels.items():
        by_text.setdefault(normalized(collection.queries[query_id]), []).append(query_id)
        for doc_id in positives(judgements):
            sharing.setdefault(f"document {doc_id}", []).append(query_id)
        for value in group_values(collection, query_id, group_by):
            sharing.setdefault(f"group {value}", []).append(query_id)
    return connected(list(qrels), _links(by_text, sharing))


def _links(by_text: Mapping[str, list[str]], sharing: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    for group in (*by_text.values(), *sharing.values()):
        yield from pairwise(group)
    texts = list(by_text)
    for left, right in nearly_same(texts):
        yield by_text[texts[left]][0], by_text[texts[right]][0]

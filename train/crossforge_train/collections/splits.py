"""Splits by query: what belongs together (one text, one object, near-copies) never stands in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection, Qrels, positives

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BLOCK = 512


def carve_dev(
    collection: Collection, share: float, seed: int, *, source: str = "train", name: str = "dev"
) -> Collection:
    """Move a share of the source split's queries into a new split.

    Queries with the same text, or with a relevant document in common, move together.

    Raises:
        InputError: the source split is too small to give the new one a single query.
    """
    qrels = collection.qrels(source)
    moved = {
        query_id for query_id, drawn in drawn_shares(_query_clusters(collection, qrels), seed).items() if drawn < share
    }
    if not moved or len(moved) == len(qrels):
        raise InputError(f"split {source} has {len(qrels)} queries: too few to carve a share of {share} out of it")
    splits = {
        **collection.splits,
        source: {query_id: found for query_id, found in qrels.items() if query_id not in moved},
        name: {query_id: found for query_id, found in qrels.items() if query_id in moved},
    }
    return Collection(collection.name, collection.corpus, collection.queries, splits)


def drop_leaking_queries(collection: Collection, *, source: str, held_out: Sequence[str]) -> tuple[Collection, int]:
    """Take queries out of the source split whose text also stands in a held-out one; returns how many went."""
    texts = {normalized(collection.queries[query_id]) for split in held_out for query_id in collection.qrels(split)}
    qrels = collection.qrels(source)
    kept = {
        query_id: found for query_id, found in qrels.items() if normalized(collection.queries[query_id]) not in texts
    }
    if not kept:
        raise InputError(f"every query of split {source} also stands in {' or '.join(held_out)}")
    splits = {**collection.splits, source: kept}
    return Collection(collection.name, collection.corpus, collection.queries, splits), len(qrels) - len(kept)


def normalized(text: str) -> str:
    """A text without case, punctuation and spacing: equal for copies that differ in nothing else."""
    return " ".join("".join(character if character.isalnum() else " " for character in text.casefold()).split())


def drawn_shares(clusters: Mapping[str, str], seed: int) -> dict[str, float]:
    """For each key a number in [0, 1) that depends on its cluster and the seed alone, not on order or on other keys."""

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


def near_copies(texts: Sequence[str], threshold: float) -> list[tuple[int, int]]:
    """Pairs of positions whose word 3-grams overlap with a cosine of at least `threshold`."""
    vectors = _shingle_vectors(texts)
    found: list[tuple[int, int]] = []
    for start in range(0, len(texts), _BLOCK):
        block = (vectors[start : start + _BLOCK] @ vectors.T).tocoo()
        close = block.data >= threshold
        rows, columns = block.row[close] + start, block.col[close]
        found += [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if row < column]
    return found


def _shingle_vectors(texts: Sequence[str]) -> csr_matrix:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    counter = CountVectorizer(ngram_range=(3, 3), token_pattern=r"\w+", binary=True)  # noqa: S106
    return normalize(counter.fit_transform(texts).astype(np.float32))


def _query_clusters(collection: Collection, qrels: Qrels) -> dict[str, str]:
    sharing: dict[str, list[str]] = {}
    for query_id, judgements in qrels.items():
        sharing.setdefault(f"text {normalized(collection.queries[query_id])}", []).append(query_id)
        for doc_id in positives(judgements):
            sharing.setdefault(f"document {doc_id}", []).append(query_id)
    return connected(list(qrels), (link for group in sharing.values() for link in pairwise(group)))

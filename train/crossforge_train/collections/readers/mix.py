"""Several sources as one collection, each with ids of its own and a weight in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import replace

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.pseudo_counts import added_up
from crossforge_train.collections.readers.reader import Reader, read_source, source_depends_on
from crossforge_train.collections.splits import drawn_shares
from crossforge_train.config.collection import TARGET

_SEPARATOR = "/"
_COPY = "#"
_TYPED = "typed"


def mixed(parts: Mapping[str, Collection]) -> Collection:
    """One collection of all documents and queries; splits of one name are joined.

    Every id is preceded by the name of its source and a slash, so that no two can clash.

    Args:
        parts: name of a source -> its collection.
    """
    splits: dict[str, dict[str, Mapping[str, int]]] = {}
    for name, collection in parts.items():
        for split, qrels in collection.splits.items():
            splits.setdefault(split, {}).update(_prefixed_qrels(name, qrels))
    return Collection(
        "+".join(parts),
        _joined({name: part.corpus for name, part in parts.items()}),
        {_prefixed(name, key): text for name, part in parts.items() for key, text in part.queries.items()},
        splits,
        {_prefixed(name, key): found for name, part in parts.items() for key, found in part.query_fields.items()},
        own_negatives={
            _prefixed(name, key): [_prefixed(name, doc_id) for doc_id in found]
            for name, part in parts.items()
            for key, found in part.own_negatives.items()
        },
        own_scores={
            _prefixed(name, key): {_prefixed(name, doc_id): score for doc_id, score in found.items()}
            for name, part in parts.items()
            for key, found in part.own_scores.items()
        },
        served=_served(parts),
        made=added_up(part.made for part in parts.values()),
        counted=dict(sum((Counter(part.counted) for part in parts.values()), Counter())),
        agreement=next((part.agreement for part in parts.values() if part.agreement), None),
        judged_twice=[
            replace(pair, doc_id=_prefixed(name, pair.doc_id))
            for name, part in parts.items()
            for pair in part.judged_twice
        ],
    )


def with_replay(collection: Collection, others: Mapping[str, Collection], train: str) -> Collection:
    """The collection with the training queries of others mixed in; what it is measured on stays its own.

    Args:
        collection: what is trained for.
        others: name of a labelled collection -> the collection; only its training split is taken.
        train: the name of everybody's training split.

    Raises:
        InputError: another collection has no such split.
    """
    replayed = {name: other.with_splits({train: other.qrels(train)}) for name, other in others.items()}
    # Apps search the target's documents alone, so no others are joined for them.
    parts = {name: replace(part, served=None) for name, part in {TARGET: collection, **replayed}.items()}
    whole = mixed(parts)
    served = collection.corpus if collection.served is None else collection.served
    return replace(whole, name=f"{collection.name}, replaying {', '.join(others)}", served=served, made=collection.made)


def of_target(judged: Mapping[str, int], corpus: Container[str]) -> dict[str, int]:
    """Document id -> label, with the ids of `with_replay` for documents of the target that apps know by bare ones.

    Args:
        judged: document id -> label, by ids of either kind.
        corpus: what `with_replay` made.
    """
    prefixed = {doc_id: _prefixed(TARGET, doc_id) for doc_id in judged}
    return {prefixed[key] if prefixed[key] in corpus else key: label for key, label in judged.items()}


def weighted(collection: Collection, split: str, weights: Mapping[str, float], seed: int) -> Collection:
    """Let each query of the split stand in it as often as its source's weight says.

    With a weight of 2.5 every query stands there twice, and a seeded half of them a third time; with 0.5 only a seeded
    half stands there at all. Copies have ids of their own, `ID#2`, so that each gets its own draw of negatives.

    Args:
        collection: what `mixed` made, with its splits in place.
        split: the training split.
        weights: source name -> weight.
        seed: of the draw.

    Raises:
        InputError: the weights leave no query.
    """
    qrels = collection.qrels(split)
    queries, fields = dict(collection.queries), dict(collection.query_fields)
    negatives = dict(collection.own_negatives)
    kept: dict[str, Mapping[str, int]] = {}
    draws = drawn_shares({query_id: query_id for query_id in qrels}, f"{seed}:weight")
    for query_id, judged in qrels.items():
        weight = weights[query_id.split(_SEPARATOR)[0]]
        copies = int(weight) + (draws[query_id] < weight % 1)
        for number in range(1, copies + 1):
            key = query_id if number == 1 else f"{query_id}{_COPY}{number}"
            kept[key] = judged
            queries[key] = collection.queries[query_id]
            if query_id in fields:
                fields[key] = fields[query_id]
            if query_id in negatives:
                negatives[key] = negatives[query_id]
    if not kept:
        raise InputError(f"collection.mix: weights of {', '.join(map(str, weights.values()))} leave no training query")
    splits = {**collection.splits, split: kept}
    return replace(collection, queries=queries, splits=splits, query_fields=fields, own_negatives=negatives)


def original_query(query_id: str, queries: Mapping[str, str]) -> str:
    """The query that a query is a copy of by its weight, or the query itself."""
    original, mark, number = query_id.rpartition(_COPY)
    if not (mark and number.isdecimal() and original in queries):
        return query_id
    # A copy may be gone, since weights change; an id that the source itself ends in this way has another text.
    return original if queries.get(query_id, queries[original]) == queries[original] else query_id


def source_counts(qrels: Qrels) -> dict[str, int]:
    """How many queries of a split each source has; those that people typed on the service's page have none."""
    return dict(Counter(query_id.split(_SEPARATOR)[0] if _SEPARATOR in query_id else _TYPED for query_id in qrels))


def _served(parts: Mapping[str, Collection]) -> ArrowCorpus | None:
    """All documents as apps search them; None if every corpus holds its documents whole."""
    if all(part.served is None for part in parts.values()):
        return None
    return _joined({name: part.corpus if part.served is None else part.served for name, part in parts.items()})


def _joined(corpora: Mapping[str, Mapping[str, Document]]) -> ArrowCorpus:
    """Several corpora as one; every id is preceded by the name of its source."""
    return ArrowCorpus.from_documents(
        replace(found, doc_id=_prefixed(name, found.doc_id))
        for name, corpus in corpora.items()
        for found in corpus.values()
    )


def _prefixed(name: str, key: str) -> str:
    return f"{name}{_SEPARATOR}{key}"


def _prefixed_qrels(name: str, qrels: Qrels) -> dict[str, Mapping[str, int]]:
    return {
        _prefixed(name, query_id): {_prefixed(name, doc_id): label for doc_id, label in judged.items()}
        for query_id, judged in qrels.items()
    }


READER = Reader(
    lambda parts, workplace: mixed({part.label: read_source(part, workplace) for part in parts}),
    lambda parts: {"mix": [source_depends_on(part) for part in parts]},
    takes_workplace=True,
)

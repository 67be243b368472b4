"""Finds and counts queries that occur in two splits, and drops or moves them as configured."""

from __future__ import annotations

from collections.abc import Collection as Values
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.collections.splits import fingerprint, group_values, nearly_same, normalized
from crossforge_train.config.collection import Policy

# query id -> keys by which two queries count as the same: normalized texts, or groups
Marks = Mapping[str, Values[str]]


@dataclass(frozen=True)
class Leakage:
    """The overlap of two splits, as numbers of queries in the first and in the second.

    Attributes:
        splits: names of the two splits.
        same_query: queries whose text is in the other split, ignoring case, spacing and punctuation.
        nearly_the_same_query: queries with a nearly identical text in the other split, but not the same one.
        same_relevant_text: queries that share a relevant text with the other split. This need not be an error: in a
            FAQ, one answer serves many questions.
    """

    splits: Sequence[str]
    same_query: Sequence[int]
    nearly_the_same_query: Sequence[int]
    same_relevant_text: Sequence[int]


class Settled(NamedTuple):
    """A collection whose leaking queries were handled, and their number."""

    collection: Collection
    leaking: int


def settle_leaks(
    collection: Collection, *, source: str, held_out: Sequence[str], policy: Policy, group_by: str | None = None
) -> Settled:
    """Handle queries of the source split whose text or group also occurs in a held-out split.

    `drop` removes them from the source, `move` moves each into the first held-out split in which it occurs, and `keep`
    leaves them where they are. The group is the value of the field `group_by`, if given.

    Raises:
        InputError: all queries of the source split are leaking.
    """
    leaking = _leaking(collection, source, held_out, group_by)
    if policy == "keep" or not leaking:
        return Settled(collection, len(leaking))
    qrels = collection.qrels(source)
    if len(leaking) == len(qrels):
        raise InputError(f"every query of split {source} also occurs in {' or '.join(held_out)}")
    splits = {**collection.splits, source: {key: found for key, found in qrels.items() if key not in leaking}}
    if policy == "drop":
        return Settled(collection.with_splits(splits), len(leaking))
    for split in held_out:
        splits[split] = {**splits[split], **{key: qrels[key] for key, home in leaking.items() if home == split}}
    # A moved query may belong to further groups, whose queries now leak, too.
    again = settle_leaks(
        collection.with_splits(splits), source=source, held_out=held_out, policy=policy, group_by=group_by
    )
    return Settled(again.collection, len(leaking) + again.leaking)


def leakage(collection: Collection) -> list[Leakage]:
    """The overlap of each pair of a collection's splits."""
    texts = {split: _texts(collection, split) for split in collection.splits}
    answers = {split: _answers(collection, split) for split in collection.splits}
    near = _neighbours(sorted({text for marks in texts.values() for found in marks.values() for text in found}))
    return [
        Leakage(
            [first, second],
            _both_ways(texts[first], texts[second]),
            _nearly(texts[first], texts[second], near),
            _both_ways(answers[first], answers[second]),
        )
        for first, second in combinations(collection.splits, 2)
    ]


def _leaking(collection: Collection, source: str, held_out: Sequence[str], group_by: str | None) -> dict[str, str]:
    """Leaking query of the source -> the first held-out split in which it also occurs."""

    def marks(query_id: str) -> list[str]:
        text = f"text {normalized(collection.queries[query_id])}"
        return [text, *(f"group {value}" for value in group_values(collection, query_id, group_by))]

    home: dict[str, int] = {}
    for number, split in enumerate(held_out):
        for query_id in collection.qrels(split):
            for mark in marks(query_id):
                home.setdefault(mark, number)
    found = {
        query_id: [home[mark] for mark in marks(query_id) if mark in home] for query_id in collection.qrels(source)
    }
    return {query_id: held_out[min(numbers)] for query_id, numbers in found.items() if numbers}


def _texts(collection: Collection, split: str) -> Marks:
    return {query_id: [normalized(collection.queries[query_id])] for query_id in collection.qrels(split)}


def _answers(collection: Collection, split: str) -> Marks:
    """Query id -> fingerprints of its relevant texts."""
    known: dict[str, str] = {}
    for judgements in collection.qrels(split).values():
        for doc_id in positives(judgements):
            if doc_id not in known:
                known[doc_id] = fingerprint(normalized(collection.corpus[doc_id].full_text))
    return {key: [known[doc_id] for doc_id in positives(found)] for key, found in collection.qrels(split).items()}


def _both_ways(first: Marks, second: Marks) -> list[int]:
    return [_shared(first, second), _shared(second, first)]


def _shared(queries: Marks, others: Marks) -> int:
    elsewhere = _all(others)
    return sum(any(mark in elsewhere for mark in found) for found in queries.values())


def _nearly(first: Marks, second: Marks, near: Mapping[str, set[str]]) -> list[int]:
    """Like `_both_ways`, but for near-copies; queries whose exact text is in the other split do not count."""

    def count(queries: Marks, others: Marks) -> int:
        elsewhere = _all(others)
        return sum(text not in elsewhere and bool(near.get(text, set()) & elsewhere) for (text,) in queries.values())

    return [count(first, second), count(second, first)]


def _all(marks: Marks) -> set[str]:
    return {mark for found in marks.values() for mark in found}


def _neighbours(texts: Sequence[str]) -> dict[str, set[str]]:
    near: dict[str, set[str]] = {}
    for left, right in nearly_same(texts):
        near.setdefault(texts[left], set()).add(texts[right])
        near.setdefault(texts[right], set()).add(texts[left])
    return near

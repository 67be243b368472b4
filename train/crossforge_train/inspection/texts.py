"""Counts: the documents' texts, and the queries and labels of each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossforge.documents import Document
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.splits import fingerprint, normalized


@dataclass(frozen=True)
class Percentiles:
    """How lengths are spread: their median, 95th percentile and maximum."""

    median: int
    p95: int
    longest: int


@dataclass(frozen=True)
class TextFacts:
    """The texts of a corpus.

    Attributes:
        empty: documents without a word.
        duplicates: documents that repeat an earlier one, ignoring case, spacing and punctuation.
        words: per document.
    """

    empty: int
    duplicates: int
    words: Percentiles


@dataclass(frozen=True)
class SplitFacts:
    """The queries of one split.

    Attributes:
        queries: how many.
        none_relevant: queries with no relevant document.
        labels: label -> judgements with it, lowest label first.
    """

    queries: int
    none_relevant: int
    labels: Mapping[int, int]


def text_facts(corpus: Mapping[str, Document]) -> TextFacts:
    """Count empty documents, duplicates, and words per document."""
    seen: set[str] = set()
    words: list[int] = []
    empty = 0
    for document in corpus.values():
        text = normalized(document.full_text)
        empty += not text
        words.append(len(document.full_text.split()))
        seen.add(fingerprint(text))
    return TextFacts(empty, len(words) - len(seen), percentiles(words))


def split_facts(collection: Collection) -> dict[str, SplitFacts]:
    """Count the queries and labels of each split."""
    return {
        split: SplitFacts(len(qrels), sum(not _has_relevant(found) for found in qrels.values()), _labels(qrels))
        for split, qrels in collection.splits.items()
    }


def percentiles(values: Sequence[int]) -> Percentiles:
    """The percentiles of some lengths, rounded down."""
    return Percentiles(*(int(np.percentile(values, share)) for share in (50, 95, 100)))


def _has_relevant(judgements: Mapping[str, int]) -> bool:
    return any(label > 0 for label in judgements.values())


def _labels(qrels: Qrels) -> dict[int, int]:
    return dict(sorted(Counter(label for found in qrels.values() for label in found.values()).items()))

"""Counts: documents, empty and duplicate ones, and for each split queries and labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.splits import fingerprint, normalized


def document_facts(collection: Collection) -> dict[str, Any]:
    """How many documents there are, how many of them are empty or copies but for case and spaces, and their words."""
    seen: set[str] = set()
    words: list[int] = []
    empty = 0
    for document in collection.corpus.values():
        text = normalized(document.full_text)
        empty += not text
        words.append(len(document.full_text.split()))
        seen.add(fingerprint(text))
    return {
        "documents": len(words),
        "empty documents": empty,
        "duplicate documents": len(words) - len(seen),
        "words a document": percentiles(words),
    }


def split_facts(collection: Collection) -> dict[str, Any]:
    """For each split its queries, how many have no relevant document, and the histogram of labels."""
    return {
        split: {
            "queries": len(qrels),
            "without a relevant document": sum(max(found.values(), default=0) <= 0 for found in qrels.values()),
            "judgements by label": _histogram(qrels),
        }
        for split, qrels in collection.splits.items()
    }


def _histogram(qrels: Qrels) -> dict[str, int]:
    labels = Counter(label for found in qrels.values() for label in found.values())
    return {str(label): count for label, count in sorted(labels.items())}


def percentiles(values: list[int]) -> dict[str, int]:
    """Median, 95th percentile and maximum."""
    shares = {"median": 50, "95%": 95, "longest": 100}
    return {name: int(np.percentile(values, share)) for name, share in shares.items()}

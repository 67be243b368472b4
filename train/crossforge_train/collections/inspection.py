"""What a collection holds, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from crossforge_train.collections.collection import Collection
from crossforge_train.collections.splits import normalized


def collection_facts(collection: Collection) -> dict[str, Any]:
    """Counts, empty and duplicate documents, words a document, and per split queries, labels and leaking queries."""
    documents = list(collection.corpus.values())
    texts = Counter(normalized(document.full_text) for document in documents)
    words = [len(document.full_text.split()) for document in documents]
    facts: dict[str, Any] = {
        "documents": len(documents),
        "empty documents": sum(not document.full_text.strip() for document in documents),
        "duplicate documents": sum(count - 1 for count in texts.values()),
        "words a document (median, 95%, longest)": [int(np.percentile(words, share)) for share in (50, 95, 100)],
    }
    for split, qrels in collection.splits.items():
        labels = Counter(relevance for judgements in qrels.values() for relevance in judgements.values())
        facts[f"split {split}"] = {
            "queries": len(qrels),
            "judgements by label": {str(label): count for label, count in sorted(labels.items())},
            "queries that also stand in another split": _leaking(collection, split),
        }
    return facts


def _leaking(collection: Collection, split: str) -> int:
    elsewhere = {
        normalized(collection.queries[query_id])
        for other, qrels in collection.splits.items()
        if other != split
        for query_id in qrels
    }
    return sum(normalized(collection.queries[query_id]) in elsewhere for query_id in collection.qrels(split))

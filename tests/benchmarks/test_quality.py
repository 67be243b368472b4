"""benchmarks/quality.py: the stock recipe is the documented one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from crossforge_train.collections.storage import read_folder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("quality")


def test_no_negative_is_more_similar_to_the_query_than_its_relevant_document(
    quality: Any, tiny_encoder: Path, toy_collection: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    collection = read_folder(toy_collection)
    rows = [
        {"query": collection.queries[query_id], "document": collection.corpus[doc_id].full_text}
        for query_id, labels in collection.qrels("train").items()
        for doc_id in labels
    ]
    pairs = quality.stock_pairs(str(tiny_encoder), rows)
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    queries, documents = model.encode(pairs["query"]), model.encode(pairs["document"])
    similar = model.similarity_pairwise(queries, documents).tolist()
    nearest = {}
    for query, label, found in zip(pairs["query"], pairs["label"], similar, strict=True):
        if label:
            nearest[query] = min(found, nearest.get(query, 1.0))
    negatives = [row for row in zip(pairs["query"], pairs["label"], similar, strict=True) if not row[1]]
    assert negatives
    assert all(found <= nearest[query] + 1e-5 for query, _, found in negatives)

"""Exact search over vectors finds what a plain product finds, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossforge.retrievers import vectors as module
from crossforge.retrievers.vectors import nearest


def plainly(queries: np.ndarray, documents: np.ndarray, k: int, order: np.ndarray | None) -> list[list[int]]:
    scores = (queries @ documents.astype(np.float32).T).round(6)
    places = np.arange(len(documents)) if order is None else order
    return [np.lexsort((places, -row))[:k].tolist() for row in scores]


@given(
    documents=st.integers(1, 60), queries=st.integers(0, 12), k=st.integers(0, 70), seed=st.integers(0, 999),
    by_id=st.booleans(), half=st.booleans(),
)  # fmt: skip
def test_the_best_are_those_of_the_whole_product(
    documents: int, queries: int, k: int, seed: int, by_id: bool, half: bool
) -> None:
    draw = np.random.default_rng(seed)
    # Few distinct values, so that many scores are equal.
    corpus = draw.integers(-1, 2, (documents, 3)).astype(np.float16 if half else np.float32)
    asked = draw.integers(-1, 2, (queries, 3)).astype(np.float32)
    order = draw.permutation(documents).astype(np.int64) if by_id else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_DOCUMENTS", 7)
        patch.setattr(module, "_QUERIES", 5)
        found = nearest(asked, corpus, k, order=order, threads=2)
    assert [positions.tolist() for positions, _ in found] == plainly(asked, corpus, min(k, documents), order)
    for query, (positions, scores) in zip(asked, found, strict=True):
        assert scores == pytest.approx(corpus[positions].astype(np.float32) @ query, abs=1e-5)


def test_unit_vectors_of_many_documents() -> None:
    draw = np.random.default_rng(1)
    corpus, asked = (draw.standard_normal((count, 16)).astype(np.float32) for count in (20_000, 30))
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    found = nearest(asked, corpus, 10)
    assert [positions.tolist() for positions, _ in found] == plainly(asked, corpus, 10, None)

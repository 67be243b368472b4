"""Approximate search: what it finds of an exact one, how it is stored, and what happens without the library."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import make_documents

from crossforge import Document
from crossforge.errors import InputError, PackageError
from crossforge.retrievers import approximate, dense
from crossforge.retrievers.approximate import InvertedLists
from crossforge.retrievers.base import ApproximableRetriever, Approximation
from crossforge.retrievers.choice import fit_retriever, load_retriever, save_retriever
from crossforge.retrievers.vectors import nearest

pytest.importorskip("faiss")

DOCUMENTS = [Document(found["_id"], found["text"], found["title"]) for found in make_documents(40)]
QUERIES = {"q1": "bread oven yeast", "q2": "rook bishop castle", "q3": "zebra"}


def unit(seed: int, count: int) -> Any:
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((40, 16))
    found = centres[draw.integers(0, 40, count)] + 0.4 * draw.standard_normal((count, 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def exact(tiny_onnx: Path) -> Any:
    return fit_retriever(DOCUMENTS, "dense", {"encoder": tiny_onnx})


def test_all_lists_give_an_exact_search_and_few_give_most_of_it() -> None:
    vectors, queries = unit(0, 6000), unit(1, 20).astype(np.float32)
    lists = InvertedLists.build(vectors)
    assert lists.lists == 150
    expected = nearest(queries, vectors, 50)
    for (positions, scores), (wanted, values) in zip(lists.nearest(queries, 50, 150), expected, strict=True):
        assert scores == pytest.approx(values, abs=2e-6)
        assert set(positions[:40]) <= set(wanted)  # the last may change places with equals
    found = lists.nearest(queries, 50, 20)
    recall = [len(set(a) & set(b)) / 50 for (a, _), (b, _) in zip(found, expected, strict=True)]
    assert 0.8 < np.mean(recall) <= 1


def test_a_stored_index_finds_the_same_and_is_mapped(exact: Any, tmp_path: Path) -> None:
    assert isinstance(exact, ApproximableRetriever)
    approximated = exact.approximated(Approximation(2, 10, 0.87))
    assert exact.approximation is None
    assert approximated.description.endswith(", searched approximately where served (recall@10 0.870)")
    save_retriever(tmp_path, approximated)
    loaded = load_retriever(tmp_path)
    assert loaded.approximation == Approximation(2, 10, 0.87)
    assert loaded.search(QUERIES, 9) == approximated.search(QUERIES, 9)
    save_retriever(tmp_path / "again", loaded)
    (tmp_path / "dense" / "lists.faiss").unlink()
    again = load_retriever(tmp_path / "again")
    assert again.search(QUERIES, 9) == approximated.search(QUERIES, 9)
    assert loaded.approximated(None).search(QUERIES, 9) == exact.search(QUERIES, 9)
    assert loaded.search(QUERIES, 9, ties_by_id=True) == exact.search(QUERIES, 9, ties_by_id=True)
    assert loaded.with_query_map(np.eye(32, dtype=np.float32)).approximation == loaded.approximation


def test_who_asks_for_more_than_the_lists_hold_gets_all(exact: Any) -> None:
    found = exact.approximated(Approximation(1, 10, 0.5)).search(QUERIES, len(DOCUMENTS))
    assert found == exact.search(QUERIES, len(DOCUMENTS))


def test_a_hybrid_takes_it_as_a_part(exact: Any, tiny_onnx: Path, tmp_path: Path) -> None:
    hybrid = fit_retriever(DOCUMENTS, "hybrid", {"dense": {"encoder": tiny_onnx}, "weight": 0.5, "pool": 10})
    save_retriever(tmp_path, hybrid.with_part(hybrid.dense.approximated(Approximation(6, 10, 1.0))))
    loaded = load_retriever(tmp_path)
    assert loaded.dense.approximation == Approximation(6, 10, 1.0)
    assert loaded.search(QUERIES, 5) == hybrid.search(QUERIES, 5)  # six lists are all of them


def test_without_the_library_an_index_is_searched_exactly_and_says_so(
    exact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save_retriever(tmp_path, exact.approximated(Approximation(1, 10, 0.5)))
    for module in (approximate, dense):
        monkeypatch.setattr(module, "available", lambda: False)
    with caplog.at_level(logging.WARNING):
        loaded = load_retriever(tmp_path)
    assert loaded.search(QUERIES, 9) == exact.search(QUERIES, 9)
    assert caplog.messages == [f"{tmp_path / 'dense'}: {approximate.MISSING}"]
    with pytest.raises(InputError, match=r"pip install \"crossforge\[ann\]\""):
        exact.approximated(Approximation(1, 10, 0.5))


def test_a_damaged_index_is_refused(exact: Any, tmp_path: Path) -> None:
    save_retriever(tmp_path, exact.approximated(Approximation(1, 10, 0.5)))
    folder = tmp_path / "dense"
    index = (folder / "index.json").read_text()
    (folder / "index.json").write_text(index.replace('"lists": 1', '"lists": 0'))
    with pytest.raises(PackageError, match="lists is 0; expected a number from 1"):
        load_retriever(tmp_path)
    (folder / "index.json").write_text(index)
    InvertedLists.build(unit(0, 90)).save(folder / "lists.faiss")
    with pytest.raises(PackageError, match=r"lists\.faiss: no index of 240 vectors of 32 numbers"):
        load_retriever(tmp_path)
    (folder / "lists.faiss").write_bytes(b"nothing of the kind")
    with pytest.raises(PackageError, match="damaged or no dense index"):
        load_retriever(tmp_path)

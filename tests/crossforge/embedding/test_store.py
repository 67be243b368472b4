"""What was embedded is not embedded again; a killed run loses a block at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from crossforge.embedding import store as module
from crossforge.embedding.encoder import Progress, Role, Vectors
from crossforge.embedding.store import EmbeddingStore
from crossforge.errors import PackageError


class Counting:
    """Embeds a text as its length and remembers what it was asked."""

    dimension = 2

    def __init__(self, dies_at: str | None = None) -> None:
        self.asked: list[str] = []
        self.dies_at = dies_at

    def embed(self, texts: Sequence[str], role: Role, progress: Progress | None = None) -> Vectors:
        assert role == "document"
        if self.dies_at in texts:
            raise RuntimeError("killed")
        self.asked += texts
        if progress:
            progress(len(texts))
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 4)


TEXTS = ["x" * (n + 1) for n in range(10)]


def test_vectors_stand_in_the_order_of_the_texts_and_repetitions_are_embedded_once(tmp_path: Path) -> None:
    embedder, seen = Counting(), []
    found = EmbeddingStore(tmp_path, embedder).vectors([*TEXTS, TEXTS[2]], 11, seen.append)
    assert found[:, 0].tolist() == [*range(1, 11), 3]
    assert found.dtype == np.float16
    assert sum(seen) == 11
    assert sorted(embedder.asked) == sorted(TEXTS)


def test_vectors_may_stay_in_a_file(tmp_path: Path) -> None:
    store, file = EmbeddingStore(tmp_path, Counting()), tmp_path / "new" / "vectors.npy"
    found = store.vectors(TEXTS, 10, file=file)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, store.vectors(TEXTS, 10))
    np.testing.assert_array_equal(np.load(file), found)


def test_only_changed_texts_are_embedded_again(tmp_path: Path) -> None:
    EmbeddingStore(tmp_path, Counting()).vectors(TEXTS, 10)
    embedder = Counting()
    found = EmbeddingStore(tmp_path, embedder).vectors([*TEXTS[1:], "a new one"], 10)
    assert embedder.asked == ["a new one"]
    assert found[:, 0].tolist() == [*range(2, 11), 9]


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        EmbeddingStore(tmp_path, Counting(dies_at=TEXTS[9])).vectors(TEXTS, 10)
    embedder = Counting()
    EmbeddingStore(tmp_path, embedder).vectors(TEXTS, 10)
    assert embedder.asked == TEXTS[8:]
    assert list(EmbeddingStore(tmp_path, embedder).missing(TEXTS)) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    EmbeddingStore(tmp_path, Counting()).vectors(TEXTS[:2], 2)
    next(tmp_path.glob("*.npz")).write_bytes(b"PK")
    with pytest.raises(PackageError, match=r"\.npz: damaged .*delete it"):
        EmbeddingStore(tmp_path, Counting())


def test_blocks_may_be_embedded_elsewhere_and_are_read_ahead(tmp_path: Path) -> None:
    given: list[list[str]] = []

    def ahead(blocks: Iterable[list[str]], progress: Progress | None) -> Iterator[Vectors]:
        given.extend(blocks)
        for block in given:
            vectors = Counting().embed(block, "document", progress)
            yield vectors

    here, seen = Counting(), []
    EmbeddingStore(tmp_path, here).add(TEXTS[5:6], here.embed(TEXTS[5:6], "document"))
    found = EmbeddingStore(tmp_path, here, ahead).vectors(TEXTS, 10, seen.append)
    assert found[:, 0].tolist() == list(range(1, 11))
    assert given == [TEXTS[:4], [*TEXTS[4:5], *TEXTS[6:8]], TEXTS[8:]]
    assert here.asked == TEXTS[5:6]
    assert sum(seen) == 10
    assert list(EmbeddingStore(tmp_path, here).missing(TEXTS)) == []

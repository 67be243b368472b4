"""A cross-encoder's pairs are scored where the config says, and get the same scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from crossforge import Reranker
from crossforge_train.collections.beir import read_beir
from crossforge_train.compute.base import Batch, Engine, Found, MakeWorker
from crossforge_train.compute.local import LocalEngine
from crossforge_train.mining import cross_encoder
from crossforge_train.mining.cross_encoder import CrossEncoderTeacher
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import SilentReporter


class Counting(LocalEngine):
    """Counts the pairs of each batch."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterable[Batch]) -> Iterator[Found]:
        for batch, found in zip(batches := list(batches), super().map(make_worker, batches), strict=True):
            self.sizes.append(len(batch))
            yield found


def groups(folder: Path, number: int) -> list[Group]:
    doc_ids = list(read_beir(folder).corpus)
    return [
        Group(f"q{n}", doc_ids[n : n + 5], [1, 0, 0, 0, 0], [0] * 5, ["positive", *["first stage"] * 4])
        for n in range(number)
    ]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_encoder, "_CHUNK", 10)


def read(scorer: Path, collection: Path, found: list[Group], engine: Engine | None) -> list[list[float]]:
    teacher = CrossEncoderTeacher(Reranker(scorer), read_beir(collection), SilentReporter())
    teacher = teacher.with_engine(engine) if engine else teacher
    teacher.read(found)
    return [teacher.scores(group) for group in found]


@pytest.mark.usefixtures("small_chunks")
def test_many_pairs_go_to_the_engine(tiny_scorer: Path, toy_collection: Path) -> None:
    engine, found = Counting(), groups(toy_collection, 5)
    assert read(tiny_scorer, toy_collection, found, engine) == read(tiny_scorer, toy_collection, found, None)
    assert engine.sizes == [10, 10, 5]


@pytest.mark.usefixtures("small_chunks")
def test_few_pairs_stay_here(tiny_scorer: Path, toy_collection: Path) -> None:
    engine = Counting()
    assert len(read(tiny_scorer, toy_collection, groups(toy_collection, 2), engine)) == 2
    assert engine.sizes == []


@pytest.mark.slow
@pytest.mark.usefixtures("small_chunks")
def test_a_cluster_gives_the_same_scores(tiny_scorer: Path, toy_collection: Path, cluster: Engine) -> None:
    found = groups(toy_collection, 12)
    there, here = (read(tiny_scorer, toy_collection, found, engine) for engine in (cluster, None))
    np.testing.assert_allclose(there, here, atol=2e-4)  # written with four digits

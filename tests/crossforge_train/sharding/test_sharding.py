"""By shards or not: the same documents, scores and files, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sharded_corpus import QUERIES, make_corpus

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.lexical import LexicalKind
from crossforge.retrievers.postings import top_k
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.compute.base import Batch, Engine, Found, MakeWorker
from crossforge_train.compute.local import LocalEngine
from crossforge_train.sharding.fitting import fit_by_shards
from crossforge_train.sharding.searching import merged
from crossforge_train.sharding.shards import cut

SETTINGS = [
    {"weighting": "bm25"},
    {"weighting": "tfidf"},
    {"weighting": "bm25", "title_weight": 0.3},
    {"weighting": "tfidf", "title_weight": 0, "analyzer": "char"},
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    ArrowCorpus.from_documents(make_corpus()).save(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def require_equal(corpus: Path, settings: dict, engine: Engine, shards: int, folder: Path) -> None:
    whole = LexicalKind.fit(ArrowCorpus.load(corpus).values(), settings)
    parts = fit_by_shards(corpus, settings, engine, folder / "shards", shards)
    for by_id in (False, True):
        for k in (1, 10, 1000):
            assert parts.search(QUERIES, k, ties_by_id=by_id) == whole.search(QUERIES, k, ties_by_id=by_id)
    some = {query_id: ["d1", "d2", "d50"] for query_id in QUERIES}
    for query_id, scores in whole.scores(QUERIES, some).items():
        np.testing.assert_array_equal(parts.scores(QUERIES, some)[query_id], scores)
    whole.save(folder / "whole")
    parts.save(folder / "parts")
    assert files(folder / "parts") == files(folder / "whole")


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("shards", [1, 2, 4, 8, pytest.param(299, marks=pytest.mark.slow)])  # 300 documents
def test_shards_change_no_bit(corpus: Path, settings: dict, shards: int, tmp_path: Path) -> None:
    require_equal(corpus, settings, LocalEngine(), shards, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [2, 8])
def test_a_cluster_changes_no_bit(corpus: Path, shards: int, tmp_path: Path, cluster: Engine) -> None:
    for number, settings in enumerate(SETTINGS[:2]):
        require_equal(corpus, settings, cluster, shards, tmp_path / str(number))


def test_many_shards_are_merged_by_workers(corpus: Path, tmp_path: Path) -> None:
    class Counting(LocalEngine):
        batches = 0

        def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterator[Batch]) -> Iterator[Found]:
            for found in super().map(make_worker, batches):
                self.batches += 1
                yield found

    engine = Counting()
    index = fit_by_shards(corpus, {}, engine, tmp_path, 200)
    engine.batches = 0
    found = index.search(QUERIES, 10)
    assert found == LexicalKind.fit(ArrowCorpus.load(corpus).values(), {}).search(QUERIES, 10)
    assert engine.batches == 50  # four shards each, one block of queries


def test_no_document_with_a_word(tmp_path: Path) -> None:
    ArrowCorpus.from_documents([Document("a", "..."), Document("b", "!")]).save(tmp_path / "corpus")
    with pytest.raises(InputError, match=r"^no document of the corpus holds a single word$"):
        fit_by_shards(tmp_path / "corpus", {}, LocalEngine(), tmp_path / "shards", 2)


def test_a_part_of_a_corpus_is_a_corpus(corpus: Path) -> None:
    whole = ArrowCorpus.load(corpus)
    part = whole.part(100, 150)
    assert list(part.values()) == list(whole.values())[100:150]
    assert all(part[doc_id] == whole[doc_id] for doc_id in part)
    assert list(whole)[99] not in part
    assert list(whole)[150] not in part


@given(st.integers(1, 500), st.integers(1, 40))
def test_shards_hold_every_document_once(documents: int, shards: int) -> None:
    found = cut(documents, shards)
    assert [place for shard in found for place in range(shard.start, shard.stop)] == list(range(documents))
    assert len(found) == min(shards, documents)
    assert max(shard.size for shard in found) - min(shard.size for shard in found) <= 1


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(0, 20), st.booleans(), st.randoms(use_true_random=False))
def test_parts_merge_in_any_order(seed: int, parts: int, k: int, by_id: bool, shuffle: object) -> None:
    """Scores have three values, so that most of them tie."""
    draw = np.random.default_rng(seed)
    scores = draw.integers(1, 4, (3, 60)).astype(np.float32)
    order = draw.permutation(60) if by_id else None
    of_part = draw.integers(0, parts, 60)
    found = []
    for part in range(parts):
        positions = np.flatnonzero(of_part == part).astype(np.int32)
        found.append([top_k(positions, row[positions], k, order) for row in scores])
    shuffle.shuffle(found)
    whole = [top_k(np.arange(60, dtype=np.int32), row, k, order) for row in scores]
    for one, other in zip(merged(found, k, order), whole, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])

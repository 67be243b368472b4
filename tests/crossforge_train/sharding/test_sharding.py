"""By shards or not: the same documents, scores and files, bit by bit."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sharded_corpus import QUERIES, make_corpus
from wrapped_engine import PretendedCluster

from crossforge.documents import Document
from crossforge.embedding.encoder import Encoder
from crossforge.embedding.store import EmbeddingStore
from crossforge.errors import InputError
from crossforge.retrievers.dense import DenseKind
from crossforge.retrievers.lexical import LexicalKind
from crossforge.retrievers.postings import top_k
from crossforge.retrievers.vectors import nearest
from crossforge.runs import Candidate
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.compute.base import Batch, Engine, Found, MakeWorker
from crossforge_train.compute.local import LocalEngine
from crossforge_train.sharding.fitting import fit_by_shards, vectors_by_shards
from crossforge_train.sharding.opening import VECTORS, open_vectors
from crossforge_train.sharding.searching import ShardedSearch, merged
from crossforge_train.sharding.shards import cut
from crossforge_train.sharding.terms import Vocabulary, frequencies, save_terms, save_vocabulary, terms_file

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
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


@pytest.mark.parametrize("workers", [2, 7, 100])
def test_terms_that_workers_add_up_change_no_bit(corpus: Path, workers: int, tmp_path: Path) -> None:
    for number, settings in enumerate(SETTINGS[:2]):
        require_equal(corpus, settings, PretendedCluster(workers), 5, tmp_path / str(number))


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.integers(1, 2**40), max_size=9), min_size=1, max_size=6),
    st.integers(1, 9),
)
def test_frequencies_are_summed_whatever_the_shards_and_parts(counted: list[dict[str, int]], parts: int) -> None:
    expected = sum(map(Counter, counted), Counter())
    shards = cut(len(counted), len(counted))
    with TemporaryDirectory() as name:
        folder = Path(name)
        for shard, found in zip(shards, counted, strict=True):
            terms = sorted(found)
            frequency = np.array([found[term] for term in terms], dtype=np.int64)
            save_terms(terms_file(shard, folder), terms, frequency, parts)
        terms, added = frequencies(PretendedCluster(), shards, folder, parts)
        assert terms == sorted(expected)
        assert added.tolist() == [expected[term] for term in terms]
        save_vocabulary(folder, terms, np.arange(len(terms), dtype=np.float32))
        vocabulary = Vocabulary(folder)
        for shard, found in zip(shards, counted, strict=True):
            columns = vocabulary.columns(terms_file(shard, folder))
            assert [terms[column] for column in columns] == sorted(found)
            assert vocabulary.idf(columns).tolist() == columns.tolist()


def test_the_calling_process_gets_each_term_once(corpus: Path, tmp_path: Path) -> None:
    class Watching(PretendedCluster):
        received = 0

        def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterator[Batch]) -> Iterator[Found]:
            for found in super().map(make_worker, batches):
                self.received += len(pickle.dumps(found))
                yield found

    received = []
    for shards in (3, 30):
        engine = Watching()
        fit_by_shards(corpus, {}, engine, tmp_path / str(shards), shards)
        received.append(engine.received)
        assert engine.batches == 2 * shards + engine.workers
    assert received[1] - received[0] < 27 * 200  # of a shard, that it is done: its words would be ten times that


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


@pytest.fixture(scope="module")
def embedded(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    """Remembers the vectors of the documents."""
    return EmbeddingStore(tmp_path_factory.mktemp("vectors"), Encoder(tiny_onnx))


def require_equal_vectors(
    documents: list[Document], encoder: Path, embedded: EmbeddingStore, engine: Engine, shards: int, folder: Path
) -> None:
    settings = {"encoder": encoder, "store": embedded}
    whole = DenseKind.fit(documents, settings)
    by_shards = vectors_by_shards(len(documents), engine, folder / "shards", shards)
    parts = DenseKind.fit(documents, {**settings, **by_shards})
    assert isinstance(parts.vectors, np.memmap)
    for by_id in (False, True):
        for k in (1, 10, 1000):
            expected = whole.search(QUERIES, k, ties_by_id=by_id)
            found = parts.search(QUERIES, k, ties_by_id=by_id)
            assert list(found) == list(expected)
            for query_id, candidates in expected.items():
                require_same_order(found[query_id], candidates)
    parts.save(folder / "parts")
    whole.save(folder / "whole")
    assert files(folder / "parts") == files(folder / "whole")
    moved = np.eye(parts.encoder.dimension, dtype=np.float32)[::-1].copy()
    there, here = (one.with_query_map(moved).search(QUERIES, 5) for one in (parts, whole))
    for query_id, candidates in here.items():
        require_same_order(there[query_id], candidates)


def require_same_order(found: list[Candidate], expected: list[Candidate]) -> None:
    """The same documents, but for neighbours whose scores differ by rounding alone."""
    assert len(found) == len(expected)
    np.testing.assert_allclose([one.score for one in found], [one.score for one in expected], rtol=0, atol=1e-5)
    scores = {one.doc_id: one.score for one in expected}
    for one, other in zip(found, expected, strict=True):
        assert abs(scores.get(one.doc_id, expected[-1].score) - other.score) < 1e-5


@pytest.mark.parametrize("shards", [1, 2, 4, 8])
def test_shards_find_the_same_vectors(tiny_onnx: Path, embedded: EmbeddingStore, shards: int, tmp_path: Path) -> None:
    require_equal_vectors(make_corpus(), tiny_onnx, embedded, LocalEngine(), shards, tmp_path)


@pytest.mark.slow
def test_a_cluster_finds_the_same_vectors(
    tiny_onnx: Path, embedded: EmbeddingStore, tmp_path: Path, cluster: Engine
) -> None:
    require_equal_vectors(make_corpus(), tiny_onnx, embedded, cluster, 3, tmp_path)


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(0, 90), st.booleans())
def test_shards_of_vectors_are_one_search(seed: int, shards: int, k: int, by_id: bool) -> None:
    """Products of such numbers are exact, and most of them tie."""
    draw = np.random.default_rng(seed)
    vectors = draw.integers(-1, 2, (60, 4)).astype(np.float16)
    queries = draw.integers(-1, 2, (7, 4)).astype(np.float32)
    order = draw.permutation(60) if by_id else None
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / f"{VECTORS}.npy", vectors)
        search = ShardedSearch(LocalEngine(), cut(60, shards), Path(folder), open_vectors, 3)
        found = list(search(queries, k, order))
    for (positions, scores), (expected, theirs) in zip(found, nearest(queries, vectors, k, order=order), strict=True):
        np.testing.assert_array_equal(positions, expected)
        np.testing.assert_array_equal(scores, theirs)


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

"""A corpus is read once to embed it, and what is told of the work is what is left of it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import Recorder, make_documents
from wrapped_engine import WrappedEngine

from crossforge import Document
from crossforge.embedding import store as store_module
from crossforge.embedding.encoder import Progress, Role, Vectors
from crossforge.embedding.store import EmbeddingStore
from crossforge.errors import InputError
from crossforge.prompts import Prompts
from crossforge_train.compute.base import Batch, Engine, Found, MakeWorker
from crossforge_train.compute.local import LocalEngine
from crossforge_train.encoders import embeddings as module
from crossforge_train.encoders.embeddings import Embeddings, EmbedTexts, open_embeddings

TITLE = "embedding the documents with a toy"


class ByLength:
    """Embeds a text as its length, in a second of the clock that the tests see."""

    dimension = 1

    def __init__(self) -> None:
        self.seconds = 0.0

    def embed(self, texts: Sequence[str], role: Role, progress: Progress | None = None) -> Vectors:
        self.seconds += len(texts)
        if progress:
            progress(len(texts))
        return np.array([[len(text)] for text in texts], dtype=np.float32)


class Read(Document):
    """A document that counts how often its text is read."""

    times: ClassVar[Counter[str]] = Counter()

    @property
    def full_text(self) -> str:
        Read.times[self.doc_id] += 1
        return super().full_text


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> ByLength:
    found = ByLength()
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: found.seconds))
    return found


@pytest.fixture
def opened(embedder: ByLength, tmp_path: Path) -> Embeddings:
    return Embeddings(
        "a toy", tmp_path / "encoder", embedder, EmbeddingStore(tmp_path / "vectors", embedder), Recorder()
    )


def corpus(count: int) -> list[Read]:
    Read.times.clear()
    return [Read(f"d{number}", "x" * (number + 1)) for number in range(count)]


def embed(opened: Embeddings, documents: Sequence[Document]) -> list[float]:
    texts = (document.full_text for document in documents)
    with opened.settings(documents) as settings:
        return settings["store"].vectors(texts, len(documents), settings["progress"])[:, 0].tolist()


def test_a_corpus_is_read_once_and_a_bar_is_shown_only_if_it_must_be_embedded(opened: Embeddings) -> None:
    documents, told = corpus(5), opened.reporter
    assert isinstance(told, Recorder)
    assert embed(opened, documents[:3]) == [1, 2, 3]
    assert embed(opened, documents[:3]) == [1, 2, 3]
    assert told.bars == [(TITLE, 3)]
    assert embed(opened, documents) == [1, 2, 3, 4, 5]
    assert told.bars == [(TITLE, 3), (TITLE, 5)]
    assert sum(done for done, _ in told.advances) == 3 + 5
    assert Read.times == {"d0": 3, "d1": 3, "d2": 3, "d3": 1, "d4": 1}


def test_the_time_is_that_of_what_is_left_however_often_it_is_asked(opened: Embeddings, embedder: ByLength) -> None:
    documents = corpus(1000)
    assert opened.seconds(documents) == 1000
    first = embedder.seconds
    assert 128 <= first <= 256
    assert opened.seconds(documents) == 1000 - first, "what was embedded to see is kept"
    embed(opened, documents)
    assert opened.seconds(documents) == 0
    assert opened.seconds([*documents, Document("new", "a text of its own")]) == 1


def test_a_sample_comes_from_all_over_the_corpus(opened: Embeddings) -> None:
    opened.seconds(corpus(1000))
    kept = [number for number in range(1000) if not list(opened.store.missing(["x" * (number + 1)]))]
    assert kept == list(range(0, 1000, 4))


def test_other_prompts_are_other_embeddings(tiny_encoder: Path, tmp_path: Path) -> None:
    prompts = Prompts("the query ", "old text ")
    plain, prompted = (
        open_embeddings(str(tiny_encoder), None, tmp_path, Recorder(), prompts=given) for given in (None, prompts)
    )
    assert plain is not None
    assert prompted is not None
    assert plain.encoder != prompted.encoder
    (document,) = prompted.store.vectors(["boat"], 1)
    assert document == pytest.approx(plain.store.vectors(["old text boat"], 1)[0], abs=1e-2)
    assert document != pytest.approx(plain.store.vectors(["boat"], 1)[0], abs=1e-2)
    query, same = prompted.embedder.embed(["boat"], "query"), plain.embedder.embed(["the query boat"], "query")
    assert query == pytest.approx(same, abs=1e-2)


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Engine:
    return LocalEngine() if request.param == "local" else request.getfixturevalue("cluster")


@dataclass
class Watched(WrappedEngine):
    """An engine, and the texts that it was given."""

    texts: list[str] = field(default_factory=list)

    def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterable[Batch]) -> Iterator[Found]:
        def watched() -> Iterator[Batch]:
            for batch in batches:
                assert isinstance(batch, list)
                self.texts += batch
                yield batch

        return self.engine.map(make_worker, watched())


def test_a_machine_with_a_gpu_that_lacks_the_bi_encoder_is_named(tmp_path: Path) -> None:
    make_worker = EmbedTexts(tmp_path / "missing", tmp_path, gpu=True)
    with pytest.raises(InputError, match=r"missing: no such folder on node .*; put the bi-encoder there"):
        make_worker()


def test_an_engine_embeds_as_this_process_does(
    engine: Engine, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_BLOCK", 8)
    documents = [Document(found["_id"], found["text"]) for found in make_documents(40)][:40]
    watched = Watched(engine)
    here, there = (
        open_embeddings(str(tiny_encoder), None, tmp_path / name, Recorder(), engine=chosen)
        for name, chosen in (("here", None), ("there", watched))
    )
    assert here is not None
    assert there is not None
    texts, told = [document.full_text for document in documents], Counter[str]()
    there.seconds(documents[:1])  # is kept, and not embedded again
    found = there.store.vectors(texts, 40, lambda done: told.update(texts=done))
    assert np.abs(found - here.store.vectors(texts, 40)).max() < 2e-3
    assert told["texts"] == 40
    assert watched.texts == texts[1:]
    assert list(there.store.missing(texts)) == []


def test_a_base_model_that_was_changed_in_its_folder_embeds_anew(tiny_encoder: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_encoder, tmp_path / "base")
    vectors = []
    for factor in (1.0, -1.0):
        weights = load_file(base / "model.safetensors")
        weights["embeddings.LayerNorm.weight"] *= factor
        save_file(weights, base / "model.safetensors", {"format": "pt"})
        found = open_embeddings(str(base), 32, tmp_path, Recorder())
        assert found
        vectors.append(found.embedder.embed(["bread oven"], "document"))
    assert not np.allclose(*vectors)

"""A bi-encoder at work: its encoder, exported once, and the vectors that it has made, shared by all runs."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossforge.documents import Document
from crossforge.embedding.encoder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    Embedder,
    Encoder,
    EncoderSettings,
    Progress,
    Role,
    Vectors,
    is_encoder,
    read_settings,
)
from crossforge.embedding.store import EmbedBlocks, EmbeddingStore
from crossforge.errors import InputError
from crossforge.files import sha256
from crossforge.openvino_sessions import has_native_bf16
from crossforge.package_files import weights_beside
from crossforge.prompts import Prompts
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.registry import DENSE
from crossforge.tokenization import TextTokenizer
from crossforge_train.compute.base import Engine
from crossforge_train.encoders.export import NoExportError, export_encoder
from crossforge_train.models.base_model import find_base_model, is_bi_encoder, model_hash
from crossforge_train.reporting import Advance, Reporter

SHARED_FOLDER = ".embeddings"  # no run can be called so
_SAMPLE = 128  # texts, about, that are embedded to see how long it takes


@dataclass(frozen=True)
class Embeddings:
    """A bi-encoder with the vectors of the documents that it has read.

    Attributes:
        model: its name.
        encoder: folder of its ONNX export.
        embedder: runs it.
        store: the vectors.
        reporter: shows progress.
    """

    model: str
    encoder: Path
    embedder: Embedder
    store: EmbeddingStore
    reporter: Reporter

    @property
    def encoder_settings(self) -> EncoderSettings:
        """What the export says of itself."""
        return read_settings(self.encoder)

    @property
    def description(self) -> str:
        """What a retriever over these vectors says of itself."""
        return self.encoder_settings.description

    def tokens_read(self, documents: Iterable[Document]) -> list[int]:
        """How many tokens of each document the encoder reads, special tokens included."""
        settings = self.encoder_settings
        tokenizer = TextTokenizer(self.encoder / TOKENIZER_FILE, settings.max_length, pad_id=settings.pad_id)
        texts = [settings.document_prompt + document.full_text for document in documents]
        return [len(ids) for ids in tokenizer.encode(texts)]

    @contextmanager
    def settings(self, documents: Collection[Document]) -> Iterator[dict[str, Any]]:
        """The settings of the retriever kind `dense` for a corpus; a progress bar is shown from when it is embedded."""
        with ExitStack() as shown:
            advance: Advance | None = None

            def progress(done: int) -> None:
                nonlocal advance
                if advance is None:
                    bar = self.reporter.bar(f"embedding the documents with {self.model}", len(documents))
                    advance = shown.enter_context(bar)
                advance(done)

            yield {"encoder": self.encoder, "store": self.store, "progress": progress}

    def retriever(
        self, documents: Collection[Document], search_vectors: Mapping[str, Any] | None = None
    ) -> StoredRetriever:
        """The documents by their cosine with a query.

        Args:
            documents: the corpus.
            search_vectors: settings that say where the vectors are and what searches them; see `vectors_by_shards`.
        """
        with self.settings(documents) as settings:
            return fit_retriever(documents, DENSE, {**settings, **(search_vectors or {})})

    def seconds(self, documents: Collection[Document]) -> float:
        """How long embedding a corpus will take this process, from a timed sample of what is not stored yet."""
        sample, missing = _spread(self.store.missing(document.full_text for document in documents))
        if not missing:
            return 0.0
        taken = _duration(lambda: self.store.add(sample, self.embedder.embed(sample, "document")))
        return taken / len(sample) * missing

    def seconds_anew(self, documents: Collection[Document]) -> float:
        """How long embedding a whole corpus takes where nothing is stored, from a timed sample."""
        sample, count = _spread(document.full_text for document in documents)
        return _duration(lambda: self.embedder.embed(sample, "document")) / max(len(sample), 1) * count


@dataclass(frozen=True)
class EmbedTexts:
    """Makes a worker that embeds documents' texts; pickled, it holds no model.

    Attributes:
        model: absolute folder of the bi-encoder.
        encoder: absolute folder of its export.
        gpu: whether the worker has a GPU for itself.
    """

    model: Path
    encoder: Path
    gpu: bool

    def __call__(self) -> Callable[[Sequence[str]], Vectors]:
        """The worker.

        Raises:
            InputError: it needs the bi-encoder, and its machine does not have it.
        """
        if self.gpu and not self.model.is_dir():
            raise InputError(
                f"{self.model}: no such folder on node {platform.node()}; put the bi-encoder there under the same path"
            )
        embedder = GpuEmbedder(self.model, self.encoder) if self.gpu else _cpu_embedder(self.encoder)
        return lambda texts: embedder.embed(texts, "document")


def open_embeddings(
    base_model: str,
    max_length: int | None,
    runs: Path,
    reporter: Reporter,
    name: str = "",
    engine: Engine | None = None,
    prompts: Prompts | None = None,
) -> Embeddings | None:
    """The embeddings of a bi-encoder; exports it if that has not been done. None if the model is no bi-encoder.

    Args:
        base_model: folder or hub id.
        max_length: tokens to read of a text; None reads as many as the model can, 512 at most.
        runs: folder of all runs, which share what is embedded.
        reporter: shows progress.
        name: what reports call the model, if not as it was given.
        engine: embeds the documents; None is this process.
        prompts: what it puts before queries and documents; None: its own.

    Raises:
        InputError: there is no such model.
        NoExportError: it cannot be exported.
    """
    model = find_base_model(base_model)
    if not is_bi_encoder(model):
        return None
    identity = json.dumps([model_hash(model), max_length, *([asdict(prompts)] if prompts else [])], sort_keys=True)
    folder = runs / SHARED_FOLDER / hashlib.sha256(identity.encode()).hexdigest()[:16]
    encoder = folder / "encoder"
    if not is_encoder(encoder):
        with reporter.bar("exporting the bi-encoder to ONNX", 1) as advance:
            export_encoder(model, encoder, name or base_model, max_length, prompts)
            advance()
    embedder = _embedder(encoder, model)
    shared = _on_engine(engine, model, encoder) if engine else None
    store = EmbeddingStore(folder / "vectors", embedder, shared)
    return Embeddings(name or base_model, encoder, embedder, store, reporter)


def embeddings_if_exported(open_them: Callable[[], Embeddings | None], reporter: Reporter) -> Embeddings | None:
    """What `open_them` opens; None, and a note, if the bi-encoder cannot be exported."""
    try:
        return open_them()
    except NoExportError as error:
        reporter.note(f"{error.args[0]}, so nothing is embedded with it")
        return None


def exported_embeddings(encoder: Path, runs: Path, reporter: Reporter) -> Embeddings:
    """The embeddings of an encoder that was exported elsewhere, such as that of a package.

    Args:
        encoder: folder of the export.
        runs: folder of all runs, which share what is embedded.
        reporter: shows progress.

    Raises:
        PackageError: the encoder cannot be loaded.
    """
    settings = read_settings(encoder)
    model = encoder / MODEL_FILE
    files = [sha256(path) for path in (model, weights_beside(model), encoder / TOKENIZER_FILE) if path.is_file()]
    # What else the settings say, and a query map, make no difference to the documents' vectors.
    identity = json.dumps([files, settings.max_length, settings.pad_id, settings.document_prompt])
    folder = runs / SHARED_FOLDER / f"exported-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    embedder = _cpu_embedder(encoder)
    return Embeddings(settings.model, encoder, embedder, EmbeddingStore(folder / "vectors", embedder), reporter)


class GpuEmbedder:
    """Embeds with sentence-transformers on a GPU, as the encoder does on the CPU.

    Args:
        model: folder of the bi-encoder.
        encoder: folder of its export, for the settings.
    """

    def __init__(self, model: Path, encoder: Path) -> None:
        from sentence_transformers import SentenceTransformer

        self._settings = read_settings(encoder)
        self._model = SentenceTransformer(str(model), device="cuda", local_files_only=True)
        self._model.max_seq_length = self._settings.max_length

    @property
    def dimension(self) -> int:
        """See `Embedder`."""
        return self._settings.dimension

    def embed(self, texts: Sequence[str], role: Role, progress: Progress | None = None) -> Vectors:
        """See `Embedder`."""
        prompt = self._settings.query_prompt if role == "query" else self._settings.document_prompt
        found = self._model.encode(
            list(texts), prompt=prompt, batch_size=256, normalize_embeddings=True, show_progress_bar=False
        )
        if progress:
            progress(len(texts))
        return np.asarray(found, dtype=np.float32)


def _on_engine(engine: Engine, model: Path, encoder: Path) -> EmbedBlocks:
    make_worker = EmbedTexts(model.absolute(), encoder.absolute(), gpu=engine.gpus > 0)

    def embed_blocks(blocks: Iterable[list[str]], progress: Progress | None) -> Iterator[Vectors]:
        for vectors in engine.map(make_worker, blocks):
            if progress:
                progress(len(vectors))
            yield vectors

    return embed_blocks


def _spread(texts: Iterable[str]) -> tuple[list[str], int]:
    """Texts from all over a stream, `_SAMPLE` to twice as many if it has them, and how many it has."""
    kept: list[str] = []
    count, step = 0, 1
    for text in texts:
        if count % step == 0:
            kept.append(text)
        if len(kept) == 2 * _SAMPLE:
            kept, step = kept[::2], 2 * step
        count += 1
    return kept, count


def _duration(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _embedder(encoder: Path, model: Path) -> Embedder:
    import torch

    return GpuEmbedder(model, encoder) if torch.cuda.is_available() else _cpu_embedder(encoder)


def _cpu_embedder(encoder: Path) -> Encoder:
    return Encoder(encoder, bf16=has_native_bf16())

"""The dense half of `first_stage.py --dense`: search over vectors, and embedding, each beside what others do.

Search: unit vectors in clusters, a hundred vectors a cluster, of 64 latent dimensions with noise in all 384; float16 on
disk; queries from the same clusters; depth 100. faiss's flat index holds float32; `semantic_search` of
sentence-transformers gets float32 tensors; "crossforge approximate" sorts the vectors into lists and reads 32 of them
for a query. Embedding: documents of the collection, each cut after 5 to 400 words, by the exported encoder, in fp32
and in bf16, and by `SentenceTransformer.encode` in fp32. Seconds of the processor are given too, which other work on
the machine changes little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import read_documents
from crossforge.embedding.encoder import Encoder
from crossforge.retrievers.approximate import InvertedLists
from crossforge.retrievers.vectors import HELD, nearest
from crossforge_train.encoders.export import export_encoder
from crossforge_train.models.base_model import find_base_model

DIMENSION, LATENT, DEPTH, CHUNK = 384, 64, 100, 50_000
CLUSTER, LISTS, ONE_BY_ONE = 100, 32, 20
BASE = "sentence-transformers/all-MiniLM-L6-v2"
Scores = NDArray[np.float32]
Search = Callable[[Scores], Scores]


class Found(NamedTuple):
    """What a system needs for a search.

    Attributes:
        ready: seconds until it can search.
        search: seconds for all queries together.
        search_cpu: the same, of the processor.
        one: median milliseconds of one query by itself.
        one_cpu: its mean milliseconds of the processor.
        scores: of the first two hundred queries.
    """

    ready: float
    search: float
    search_cpu: float
    one: float
    one_cpu: float
    scores: list[list[float]]


def write_vectors(path: Path, count: int) -> None:
    """Unit vectors in clusters, float16."""
    vectors = np.lib.format.open_memmap(path, "w+", np.float16, (count, DIMENSION))
    drawn, clusters = np.random.default_rng(0), max(count // CLUSTER, 1)
    for start in range(0, count, CHUNK):
        vectors[start : start + CHUNK] = _unit(drawn, min(CHUNK, count - start), clusters)
    vectors.flush()


def search(system: str, path: Path, queries: int) -> Found:
    """Time one system."""
    vectors = np.load(path, mmap_mode="r")
    asked = _unit(np.random.default_rng(1), queries, max(len(vectors) // CLUSTER, 1))
    start = time.perf_counter()
    answer = SEARCHES[system](vectors)
    ready, ready_cpu = time.perf_counter(), time.process_time()
    scores = answer(asked)
    searched, searched_cpu = time.perf_counter(), time.process_time()
    singles = []
    for query in asked[:ONE_BY_ONE]:
        begun = time.perf_counter()
        answer(query[None])
        singles.append(1000 * (time.perf_counter() - begun))
    one_cpu = 1000 * (time.process_time() - searched_cpu) / len(singles)
    one, cpu = float(np.median(singles)), searched_cpu - ready_cpu
    return Found(ready - start, searched - ready, cpu, one, one_cpu, scores[:200].tolist())


def _unit(draw: np.random.Generator, count: int, clusters: int) -> Scores:
    same = np.random.default_rng(2)  # the clusters of documents and queries
    ways_out = same.standard_normal((LATENT, DIMENSION), dtype=np.float32) / np.float32(LATENT**0.5)
    centres = same.standard_normal((clusters, LATENT), dtype=np.float32)
    latent = centres[draw.integers(0, clusters, count)]
    latent += np.float32(0.7) * draw.standard_normal((count, LATENT), dtype=np.float32)
    found: Scores = np.tanh(latent @ ways_out)
    found += np.float32(0.15) * draw.standard_normal((count, DIMENSION), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _ours(vectors: NDArray[np.float16]) -> Search:
    searched: NDArray[np.floating] = np.asarray(vectors, np.float32) if vectors.size <= HELD else vectors
    return lambda asked: np.stack([scores for _, scores in nearest(asked, searched, DEPTH)])


def _approximate(vectors: NDArray[np.float16]) -> Search:
    lists = InvertedLists.build(vectors)
    return lambda asked: np.stack([scores for _, scores in lists.nearest(asked, DEPTH, LISTS)])


def _faiss(vectors: NDArray[np.float16]) -> Search:
    import faiss

    index = faiss.IndexFlatIP(DIMENSION)
    for start in range(0, len(vectors), CHUNK):
        index.add(np.asarray(vectors[start : start + CHUNK], dtype=np.float32))
    return lambda asked: index.search(asked, DEPTH)[0]


def _semantic_search(vectors: NDArray[np.float16]) -> Search:
    import torch
    from sentence_transformers.util import semantic_search

    corpus = torch.from_numpy(np.asarray(vectors, dtype=np.float32))

    def answer(asked: Scores) -> Scores:
        found = semantic_search(torch.from_numpy(asked), corpus, top_k=DEPTH)
        return np.array([[one["score"] for one in best] for best in found], dtype=np.float32)

    return answer


SEARCHES: dict[str, Callable[[Any], Search]] = {
    "crossforge dense": _ours,
    "crossforge approximate": _approximate,
    "faiss flat": _faiss,
    "semantic_search": _semantic_search,
}
# What a system needs besides crossforge.
LIBRARIES = {
    "crossforge approximate": "faiss",
    "faiss flat": "faiss",
    "semantic_search": "sentence_transformers",
    "SentenceTransformer.encode": "sentence_transformers",
}


IN_BF16 = ("crossforge encoder, bf16",)


def mixed_texts(collection: Path, count: int) -> list[str]:
    """Documents cut after 5 to 400 words."""
    draw = np.random.default_rng(0)
    documents = read_documents(collection / "corpus.jsonl")[:count]
    return [" ".join(found.full_text.split()[: draw.integers(5, 400)]) for found in documents]


def embed(system: str, collection: Path, count: int) -> tuple[float, float, list[list[float]]]:
    """Texts a second, texts a second of the processor, each the better of two, and the first twenty vectors."""
    texts, model = mixed_texts(collection, count), find_base_model(BASE)
    answer = EMBEDDERS[system](model)
    answer(texts[:8])
    best, best_cpu = 0.0, 0.0
    vectors: Scores = np.empty((0, 0), np.float32)
    for _ in range(2):
        start, start_cpu = time.perf_counter(), time.process_time()
        vectors = answer(texts)
        best = max(best, len(texts) / (time.perf_counter() - start))
        best_cpu = max(best_cpu, len(texts) / (time.process_time() - start_cpu))
    return best, best_cpu, vectors[:20].tolist()


def _our_encoder(model: Path, *, bf16: bool = False) -> Callable[[list[str]], Scores]:
    with tempfile.TemporaryDirectory() as folder:
        export_encoder(model, Path(folder) / "encoder", BASE)
        encoder = Encoder(Path(folder) / "encoder", bf16=bf16)
    return lambda texts: encoder.embed(texts, "document")


def _their_encoder(model: Path) -> Callable[[list[str]], Scores]:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(model), device="cpu")
    return lambda texts: np.asarray(theirs.encode(texts, normalize_embeddings=True), dtype=np.float32)


EMBEDDERS: dict[str, Callable[[Path], Callable[[list[str]], Scores]]] = {
    "crossforge encoder": _our_encoder,
    "crossforge encoder, bf16": partial(_our_encoder, bf16=True),
    "SentenceTransformer.encode": _their_encoder,
}

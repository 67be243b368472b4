"""The dense half of `first_stage.py --dense`: exact search over vectors, and embedding, each beside what others do.

Search: unit vectors drawn at random, float16 on disk, and random queries, to depth 100. faiss's flat index holds
float32; `semantic_search` of sentence-transformers gets float32 tensors. Embedding: documents of the collection, each
cut after 5 to 400 words, by the exported encoder and by `SentenceTransformer.encode` in fp32.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import read_documents
from crossforge.embedding.encoder import Encoder
from crossforge.retrievers.vectors import nearest
from crossforge_train.base_model import find_base_model
from crossforge_train.encoder_export import export_encoder

DIMENSION, DEPTH, CHUNK = 384, 100, 50_000
BASE = "sentence-transformers/all-MiniLM-L6-v2"
Scores = NDArray[np.float32]


def write_vectors(path: Path, count: int) -> None:
    """Random unit vectors, float16."""
    draw = np.random.default_rng(0)
    vectors = np.lib.format.open_memmap(path, "w+", np.float16, (count, DIMENSION))
    for start in range(0, count, CHUNK):
        vectors[start : start + CHUNK] = _unit(draw, min(CHUNK, count - start))
    vectors.flush()


def search(system: str, path: Path, queries: int) -> tuple[float, list[list[float]]]:
    """Seconds for all queries, indexing excluded, and the scores of the first two hundred."""
    vectors = np.load(path, mmap_mode="r")
    asked = _unit(np.random.default_rng(1), queries)
    answer = SEARCHES[system](vectors)
    start = time.perf_counter()
    scores = answer(asked)
    return time.perf_counter() - start, scores[:200].tolist()


def _unit(draw: np.random.Generator, count: int) -> NDArray[np.float32]:
    found = draw.standard_normal((count, DIMENSION), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _ours(vectors: NDArray[np.float16]) -> Callable[[Scores], Scores]:
    return lambda asked: np.stack([scores for _, scores in nearest(asked, vectors, DEPTH)])


def _faiss(vectors: NDArray[np.float16]) -> Callable[[Scores], Scores]:
    import faiss

    index = faiss.IndexFlatIP(DIMENSION)
    for start in range(0, len(vectors), CHUNK):
        index.add(np.asarray(vectors[start : start + CHUNK], dtype=np.float32))
    return lambda asked: index.search(asked, DEPTH)[0]


def _semantic_search(vectors: NDArray[np.float16]) -> Callable[[Scores], Scores]:
    import torch
    from sentence_transformers.util import semantic_search

    corpus = torch.from_numpy(np.asarray(vectors, dtype=np.float32))

    def answer(asked: Scores) -> Scores:
        found = semantic_search(torch.from_numpy(asked), corpus, top_k=DEPTH)
        return np.array([[one["score"] for one in best] for best in found], dtype=np.float32)

    return answer


SEARCHES: dict[str, Callable[[Any], Callable[[Scores], Scores]]] = {
    "crossforge dense": _ours,
    "faiss flat": _faiss,
    "semantic_search": _semantic_search,
}


def embedding_speeds(collection: Path, texts: int) -> dict[str, float]:
    """Texts per second by system, alternating twice, the faster of each; and the largest difference of a vector."""
    from sentence_transformers import SentenceTransformer

    draw = np.random.default_rng(0)
    documents = read_documents(collection / "corpus.jsonl")[:texts]
    mixed = [" ".join(found.full_text.split()[: draw.integers(5, 400)]) for found in documents]
    model = find_base_model(BASE)
    with tempfile.TemporaryDirectory() as folder:
        export_encoder(model, Path(folder) / "encoder", BASE)
        encoder, theirs = Encoder(Path(folder) / "encoder"), SentenceTransformer(str(model), device="cpu")
        systems: dict[str, Callable[[], Any]] = {
            "crossforge encoder": lambda: encoder.embed(mixed, "document"),
            "SentenceTransformer.encode": lambda: theirs.encode(mixed, normalize_embeddings=True),
        }
        speeds, vectors = dict.fromkeys(systems, 0.0), {}
        for _ in range(2):
            for name, embed in systems.items():
                start = time.perf_counter()
                vectors[name] = embed()
                speeds[name] = max(speeds[name], len(mixed) / (time.perf_counter() - start))
    ours, other = vectors.values()
    return {**speeds, "largest difference": float(np.abs(ours - other).max())}

"""A SentenceTransformer as a teacher (cosines), and as a dense source of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge.retrievers.postings import top_k
from crossforge.runs import Candidate, Run
from crossforge_train.base_model import find_base_model, weights_hash
from crossforge_train.collections.candidates import best
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.libraries import quieten
from crossforge_train.mining.groups import Group
from crossforge_train.mining.teacher import TeacherKind
from crossforge_train.precision import Precision, autocast, use_bf16
from crossforge_train.reporting import Advance, Reporter

_DIGITS = 4  # written to a file that is to be the same on every run
_CHUNK = 256
_QUERY_BLOCK, _DOCUMENT_BLOCK = 64, 20_000


class BiEncoder:
    """Embeds texts to unit length.

    Args:
        folder: of a sentence-transformers model.
        max_length: tokens of a text that are embedded.
        precision: of the computation.
    """

    def __init__(self, folder: Path, max_length: int, precision: Precision) -> None:
        from sentence_transformers import SentenceTransformer

        quieten()
        self._model = SentenceTransformer(str(folder), local_files_only=True)
        self._model.max_seq_length = min(max_length, self._model.max_seq_length or max_length)
        self._bf16 = use_bf16(precision)

    def embed(self, texts: Mapping[str, str], advance: Advance) -> dict[str, NDArray[np.float32]]:
        """A vector for each text, by its key."""
        # Longest first, so that a chunk holds texts of one length and little is padded.
        keys = sorted(texts, key=lambda key: -len(texts[key]))
        vectors: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            with autocast(self._model.device.type, self._bf16):
                found = self._model.encode(
                    [texts[key] for key in chunk], normalize_embeddings=True, show_progress_bar=False
                )
            vectors.update(zip(chunk, np.asarray(found, dtype=np.float32), strict=True))
            advance(len(chunk))
        return vectors


class CosineTeacher:
    """A `Teacher` whose scores are cosines between the embeddings of query and documents.

    A cosine is no probability, so that no candidate is above its margin.

    Args:
        model: embeds the texts.
        collection: holds them.
        reporter: shows progress.
    """

    def __init__(self, model: BiEncoder, collection: Collection, reporter: Reporter) -> None:
        self._model = model
        self._collection = collection
        self._reporter = reporter
        self._queries: dict[str, NDArray[np.float32]] = {}
        self._documents: dict[str, NDArray[np.float32]] = {}

    def can_read(self, query_id: str) -> bool:
        """Always: query and documents are embedded by themselves."""
        return True

    def read(self, groups: Sequence[Group]) -> None:
        """See `Teacher`."""
        query_ids = dict.fromkeys(group.query_id for group in groups)
        doc_ids = dict.fromkeys(doc_id for group in groups for doc_id in group.doc_ids)
        queries = {key: self._collection.queries[key] for key in query_ids if key not in self._queries}
        documents = {key: self._collection.corpus[key].full_text for key in doc_ids if key not in self._documents}
        with self._reporter.bar("embedding with the teacher", len(queries) + len(documents)) as advance:
            self._queries.update(self._model.embed(queries, advance))
            self._documents.update(self._model.embed(documents, advance))

    def scores(self, group: Group) -> list[float]:
        """See `Teacher`."""
        query = self._queries[group.query_id]
        return [round(float(query @ self._documents[doc_id]), _DIGITS) for doc_id in group.doc_ids]

    def above(self, group: Group, margin: float) -> list[str]:
        """None."""
        return []


def dense_run(
    collection: Collection, query_ids: Sequence[str], model: BiEncoder, depth: int, reporter: Reporter
) -> Run:
    """The `depth` documents with the highest cosine for each query, exactly; equal ones by id."""
    return best(collection, query_ids, depth, lambda wanted: _nearest(collection, query_ids, model, wanted, reporter))


def _nearest(collection: Collection, query_ids: Sequence[str], model: BiEncoder, depth: int, reporter: Reporter) -> Run:
    queries = {query_id: collection.queries[query_id] for query_id in query_ids}
    doc_ids = sorted(collection.corpus)
    with reporter.bar("embedding for dense retrieval", len(queries) + len(doc_ids)) as advance:
        query_vectors = model.embed(queries, advance)
        documents = (collection.corpus[doc_id] for doc_id in doc_ids)
        matrix = np.concatenate([_embedded(block, model, advance) for block in blocks(documents, _DOCUMENT_BLOCK)])
    positions = np.arange(len(doc_ids), dtype=np.int32)
    run: dict[str, list[Candidate]] = {}
    for start in range(0, len(query_ids), _QUERY_BLOCK):
        block = query_ids[start : start + _QUERY_BLOCK]
        scores = np.stack([query_vectors[query_id] for query_id in block]) @ matrix.T
        for query_id, row in zip(block, scores, strict=True):
            nearest = zip(*top_k(positions, row, depth), strict=True)
            run[query_id] = [Candidate(doc_ids[position], float(score)) for position, score in nearest]
    return run


def _embedded(documents: Sequence[Document], model: BiEncoder, advance: Advance) -> NDArray[np.float32]:
    vectors = model.embed({found.doc_id: found.full_text for found in documents}, advance)
    return np.stack([vectors[found.doc_id] for found in documents])


def _open(config: Config, collection: Collection, reporter: Reporter) -> CosineTeacher:
    training = config.training
    model = BiEncoder(find_base_model(config.base_model), training.most_tokens, training.precision)
    return CosineTeacher(model, collection, reporter)


TEACHER = TeacherKind(_open, lambda config: weights_hash(config.base_model))

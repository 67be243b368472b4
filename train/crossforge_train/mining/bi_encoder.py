"""A bi-encoder as a teacher: its cosines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossforge.embedding.encoder import moved
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.encoders.embeddings import Embeddings
from crossforge_train.mining.groups import Group
from crossforge_train.mining.teacher import SCORE_DIGITS, TeacherKind
from crossforge_train.models.base_model import weights_hash
from crossforge_train.reporting import Reporter


class CosineTeacher:
    """A `Teacher` whose scores are cosines between the embeddings of query and documents.

    A cosine is no probability, so that no candidate is above its margin.

    Args:
        embeddings: of the bi-encoder; vectors that a first stage has made are not made again.
        collection: holds the texts.
        query_map: moves the queries' vectors, if there is one.
    """

    def __init__(
        self, embeddings: Embeddings, collection: Collection, query_map: NDArray[np.float32] | None = None
    ) -> None:
        self._embeddings = embeddings
        self._collection = collection
        self._query_map = query_map
        self._queries: dict[str, NDArray[np.float32]] = {}
        self._documents: dict[str, NDArray[np.float16]] = {}

    def with_query_map(self, query_map: NDArray[np.float32]) -> CosineTeacher:
        """The same teacher, whose queries are moved by a map."""
        return CosineTeacher(self._embeddings, self._collection, query_map)

    def can_read(self, query_id: str) -> bool:
        """Always: query and documents are embedded by themselves."""
        return True

    def read(self, groups: Sequence[Group]) -> None:
        """See `Teacher`."""
        asked, held = self._collection.queries, self._collection.corpus
        queries = [key for key in dict.fromkeys(group.query_id for group in groups) if key not in self._queries]
        named = dict.fromkeys(doc_id for group in groups for doc_id in group.doc_ids)
        doc_ids = [key for key in named if key not in self._documents]
        embeddings = self._embeddings
        with embeddings.reporter.bar("embedding with the teacher", len(queries) + len(doc_ids)) as advance:
            vectors = embeddings.embedder.embed([asked[key] for key in queries], "query", advance)
            if self._query_map is not None:
                vectors = moved(vectors, self._query_map)
            self._queries.update(zip(queries, vectors, strict=True))
            texts = (held[key].full_text for key in doc_ids)
            self._documents.update(zip(doc_ids, embeddings.store.vectors(texts, len(doc_ids), advance), strict=True))

    def scores(self, group: Group) -> list[float]:
        """See `Teacher`."""
        documents = np.stack([self._documents[doc_id] for doc_id in group.doc_ids]).astype(np.float32)
        cosines: list[float] = (documents @ self._queries[group.query_id]).round(SCORE_DIGITS).tolist()
        return cosines

    def above(self, group: Group, margin: float) -> list[str]:
        """None."""
        return []


def _open(config: Config, collection: Collection, reporter: Reporter) -> CosineTeacher:
    embeddings = base_embeddings(config, reporter)
    if embeddings is None:
        raise InputError(f"mining.teacher is base, but {config.base_model} is no bi-encoder; name a reranker, or null")
    return CosineTeacher(embeddings, collection)


TEACHER = TeacherKind(_open, lambda config: weights_hash(config.base_model))

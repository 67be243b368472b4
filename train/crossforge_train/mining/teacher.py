"""Scores from the base model used as a bi-encoder: a free teacher, which knows what its weights were made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge_train.collections.collection import Collection
from crossforge_train.libraries import quieten
from crossforge_train.mining.groups import Group
from crossforge_train.precision import Precision, autocast, use_bf16
from crossforge_train.reporting import Reporter

_DIGITS = 4  # written to a file that is to be the same on every run
_CHUNK = 256


def teacher_scores(
    groups: Sequence[Group],
    collection: Collection,
    base_model: Path,
    max_length: int,
    precision: Precision,
    reporter: Reporter,
) -> list[Group]:
    """The same groups with cosines between the embeddings of query and documents as teacher scores.

    Args:
        groups: what was mined.
        collection: holds the texts.
        base_model: folder of a sentence-transformers bi-encoder.
        max_length: tokens of a text that are embedded.
        precision: of the computation.
        reporter: shows progress.
    """
    from sentence_transformers import SentenceTransformer

    quieten()
    model = SentenceTransformer(str(base_model), local_files_only=True)
    model.max_seq_length = min(max_length, model.max_seq_length or max_length)
    bf16 = use_bf16(precision)
    query_ids = dict.fromkeys(group.query_id for group in groups)
    doc_ids = dict.fromkeys(doc_id for group in groups for doc_id in group.doc_ids)
    queries = {query_id: collection.queries[query_id] for query_id in query_ids}
    documents = {doc_id: collection.corpus[doc_id].full_text for doc_id in doc_ids}
    with reporter.bar("embedding with the teacher", len(queries) + len(documents)) as advance:
        query_vectors = _embed(model, queries, bf16, advance)
        document_vectors = _embed(model, documents, bf16, advance)
    return [replace(group, teacher=_cosines(group, query_vectors, document_vectors)) for group in groups]


def _embed(model: Any, texts: Mapping[str, str], bf16: bool, advance: Any) -> dict[str, NDArray[np.float32]]:
    # Longest first, so that a chunk holds texts of one length and little is padded.
    keys = sorted(texts, key=lambda key: -len(texts[key]))
    vectors: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        with autocast(model.device.type, bf16):
            found = model.encode([texts[key] for key in chunk], normalize_embeddings=True, show_progress_bar=False)
        vectors.update(zip(chunk, np.asarray(found, dtype=np.float32), strict=True))
        advance(len(chunk))
    return vectors


def _cosines(
    group: Group, queries: Mapping[str, NDArray[np.float32]], documents: Mapping[str, NDArray[np.float32]]
) -> list[float]:
    query = queries[group.query_id]
    return [round(float(query @ documents[doc_id]), _DIGITS) for doc_id in group.doc_ids]

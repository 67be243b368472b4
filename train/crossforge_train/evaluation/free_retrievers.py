"""The retrievers behind the free alternatives: BM25, the base model as a bi-encoder, and a hybrid of both."""

from __future__ import annotations

from collections.abc import Iterable

from crossforge.retrievers.base import CombinedRetriever, Retriever, ScoringRetriever, StoredRetriever
from crossforge.retrievers.registry import DENSE, HYBRID
from crossforge.runs import Run
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.encoders.embeddings import Embeddings
from crossforge_train.evaluation.combination import combined_on_dev
from crossforge_train.evaluation.free_alternatives import Free
from crossforge_train.evaluation.systems import Bench, bm25_retriever
from crossforge_train.first_stage import (
    MOST_SECONDS,
    fit_first_stage,
    vector_part,
    with_query_map,
    with_vector_part,
)


def free_retrievers(
    first_stage: StoredRetriever,
    collection: Collection,
    runs: Iterable[Run],
    embeddings: Embeddings | None,
    *,
    bm25: bool = True,
    dev: Bench | None = None,
    more: Qrels | None = None,
    tuned: bool = False,
) -> Free:
    """What a first stage leaves to be built: nothing that it is itself is built again.

    Where the first stage has a query map or a tuned encoder, the alternatives have none: labels taught it.

    Where embedding the whole corpus takes longer than ten minutes, only candidates are embedded.

    Args:
        first_stage: the first stage.
        collection: the collection.
        runs: the candidates of all queries that are measured.
        embeddings: of the base model; None if it is no bi-encoder.
        bm25: whether BM25 is wanted.
        dev: chooses the hybrid's weight; None joins by rank.
        more: judgements of other queries, which choose it with dev; an untrained encoder has not learned from them.
        tuned: whether the first stage's encoder is the base model as tuned on labels.
    """
    found = Free(bm25=bm25_retriever(collection, first_stage) if bm25 else None)
    if embeddings is None:
        return found
    part = vector_part(first_stage)
    learned = tuned or (part is not None and part.query_map is not None)
    untrained = with_query_map(first_stage, None) if learned else first_stage
    if tuned:
        untrained = as_it_was(untrained, collection, embeddings)
    own = _embedding_part(untrained, embeddings)
    if own and isinstance(untrained, CombinedRetriever):
        if not learned:
            return found.with_bi_encoder(own, whole=True)
        return found.with_bi_encoder(own, whole=True, hybrid=_weighted(untrained, dev, more), beside=untrained.parts[0])
    documents = collection.corpus.values()
    if embeddings.seconds(documents) > MOST_SECONDS:
        return found.with_bi_encoder_of_candidates(encoder_of_candidates(collection, runs, embeddings))
    hybrid = fit_first_stage(documents, FirstStageConfig(kind=HYBRID), embeddings)
    if not isinstance(hybrid, CombinedRetriever):
        raise TypeError(f"{hybrid.kind}: a hybrid combines several retrievers")
    words, vectors = hybrid.parts
    weighted, whole = _weighted(hybrid, dev, more), own is None or learned
    return found.with_bi_encoder(vectors, whole=whole, hybrid=weighted, beside=words if learned else None)


def as_it_was(first_stage: StoredRetriever, collection: Collection, embeddings: Embeddings) -> StoredRetriever:
    """A first stage whose encoder was tuned, with that of the untrained base model."""
    part = vector_part(embeddings.retriever(collection.corpus.values()))
    return with_vector_part(first_stage, part) if part else first_stage


def _embedding_part(first_stage: Retriever, embeddings: Embeddings) -> ScoringRetriever | None:
    """The part of a first stage that searches the vectors of the same encoder, if there is one."""
    parts = first_stage.parts if isinstance(first_stage, CombinedRetriever) else (first_stage,)
    for part in parts:
        if isinstance(part, ScoringRetriever) and part.kind == DENSE and part.description == embeddings.description:
            return part
    return None


def encoder_of_candidates(collection: Collection, runs: Iterable[Run], embeddings: Embeddings) -> ScoringRetriever:
    """A bi-encoder over the candidates of runs alone."""
    doc_ids = dict.fromkeys(found.doc_id for run in runs for candidates in run.values() for found in candidates)
    found = embeddings.retriever([collection.corpus[doc_id] for doc_id in doc_ids])
    if not isinstance(found, ScoringRetriever):
        raise TypeError(f"{found.kind}: cannot score documents")
    return found


def _weighted(hybrid: CombinedRetriever, dev: Bench | None, more: Qrels | None) -> CombinedRetriever:
    if dev is None:
        return hybrid
    depth = max(max(map(len, dev.run.values()), default=1), 1)
    return combined_on_dev(hybrid, dev.collection, dev.split, more or {}, depth, dev.config.metric, dev.seed)

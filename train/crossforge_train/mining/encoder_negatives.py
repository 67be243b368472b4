"""Hard negatives for tuning a bi-encoder: documents near a query that are not known to be relevant to it."""

from __future__ import annotations

from crossforge.retrievers.base import VectorRetriever
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels, positives

_DEPTH = 50
_KEPT = 20
_NEAREST = 0.95


def encoder_negatives(retriever: VectorRetriever, collection: Collection, judged: Qrels) -> list[list[str]]:
    """Up to twenty documents for each query, those nearest to it, in the order of their ids.

    What is nearer than .95 of the cosine of the query's nearest relevant document may be relevant as well, and is left
    out unless it was judged.

    Args:
        retriever: searches the vectors of the bi-encoder.
        collection: the retriever's documents, and the queries.
        judged: query id -> document id -> grade, with a relevant document for every query.

    Source: G. Moreira et al., "NV-Retriever: Improving text embedding models with effective hard-negative mining", 2024
    ("TopK-PercPos").
    """
    asked = {query_id: collection.queries[query_id] for query_id in judged}
    relevant = {query_id: positives(grades) for query_id, grades in judged.items()}
    cosines = retriever.scores(asked, relevant)
    found = retrieve(collection, retriever, asked, _DEPTH)
    negatives = []
    for query_id, grades in judged.items():
        limit = _below(float(cosines[query_id].max()))
        near = [one.doc_id for one in found[query_id]
                if grades.get(one.doc_id, 0) <= 0 and (one.score <= limit or one.doc_id in grades)]  # fmt: skip
        negatives.append(sorted(near[:_KEPT]))
    return negatives


def _below(cosine: float) -> float:
    return cosine - (1 - _NEAREST) * abs(cosine)

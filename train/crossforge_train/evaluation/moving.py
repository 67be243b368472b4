"""Learns from the training queries how to move query vectors, and on dev how far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.embedding.encoder import moved
from crossforge.retrievers.base import Retriever, VectorRetriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import best, retrieve
from crossforge_train.collections.collection import Collection, Qrels, mostly_asked_by_people, positives
from crossforge_train.collections.same_text import spared_documents
from crossforge_train.encoders.query_map import fit_query_map, shrunk
from crossforge_train.evaluation.combination import LEAST_QUERIES
from crossforge_train.evaluation.fusion_weight import FUSION_WEIGHTS, best_over_resamples, values_by_weight
from crossforge_train.evaluation.metrics import Rankings, judged_queries, measure_rankings
from crossforge_train.evaluation.resampling import resamples_won

_DEPTH = 50
CERTAIN = 0.9


class Moved(NamedTuple):
    """A query map, if there is to be one, and its share of the way that the training queries would have it go."""

    query_map: NDArray[np.float32] | None = None
    share: float = 0.0


def moved_on_dev(
    retriever: VectorRetriever, collection: Collection, train: str, dev: str, metric: str, seed: int
) -> Moved:
    """A query map that goes as far as dev gains from it: the best share, averaged over resamples.

    Nothing is moved unless that share is better than none on nine resamples of ten: a map that does not carry over to
    new queries does harm, and a few dev queries would choose some share of it by chance.

    Pseudo-queries on dev share the wording of those of training and flatter the map; half the share is taken then.
    Queries of people are worded by people, whoever judged them.

    Args:
        retriever: searches vectors.
        collection: its documents, and the queries.
        train: split to learn from.
        dev: split to choose on; with too few queries nothing is moved.
        metric: measure to maximise.
        seed: seed of all draws.
    """
    asked, judged = judged_queries(collection.qrels(train)), judged_queries(collection.qrels(dev))
    if len(judged) < LEAST_QUERIES or len(asked) < LEAST_QUERIES:
        return Moved()
    found = learned_map(retriever, collection, train, seed)
    vectors = _vectors(retriever, collection, judged)

    def order(share: float) -> Rankings:
        asked_from = dict(zip(judged, moved(vectors, shrunk(found, share)), strict=True))
        return ids_by_query(best(collection, judged, _DEPTH, lambda k: retriever.search_vectors(asked_from, k)))

    values = values_by_weight(metric, judged, order)
    share = best_over_resamples(values, seed)
    tried = int(np.abs(np.array(FUSION_WEIGHTS) - share).argmin())
    if resamples_won(values[tried], values[0], seed) < CERTAIN:
        return Moved()
    share = share if mostly_asked_by_people(collection, dev) else round(share / 2, 2)
    return Moved(shrunk(found, share), share) if share else Moved()


def values_found(retriever: Retriever, collection: Collection, qrels: Qrels, metric: str) -> NDArray[np.float64]:
    """What a retriever finds for judged queries: the metric of each, shape (queries,)."""
    judged = judged_queries(qrels)
    asked = {query_id: collection.queries[query_id] for query_id in judged}
    found = measure_rankings([metric], judged, ids_by_query(retrieve(collection, retriever, asked, _DEPTH)))[metric]
    return np.array([found[query_id] for query_id in judged])


def learned_map(retriever: VectorRetriever, collection: Collection, split: str, seed: int) -> NDArray[np.float32]:
    """The map that a split's queries would have, all of the way."""
    judged = judged_queries(collection.qrels(split))
    rows = {doc_id: row for row, doc_id in enumerate(retriever.doc_ids)}
    relevant = [[rows[doc_id] for doc_id in positives(found)] for found in judged.values()]
    known = spared_documents(collection, split)
    spared = {
        number: [rows[doc_id] for doc_id in known[query_id]]
        for number, query_id in enumerate(judged)
        if query_id in known
    }
    return fit_query_map(_vectors(retriever, collection, judged), retriever.vectors, relevant, seed, spared)


def _vectors(retriever: VectorRetriever, collection: Collection, query_ids: Iterable[str]) -> NDArray[np.float32]:
    return retriever.query_vectors([collection.queries[query_id] for query_id in query_ids])

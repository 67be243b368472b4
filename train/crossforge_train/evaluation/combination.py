"""Chooses on dev how the parts of a combined first stage are weighted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crossforge.retrievers.base import CombinedRetriever
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels, judged_by_people
from crossforge_train.evaluation.fusion_weight import FUSION_WEIGHTS, best_over_resamples
from crossforge_train.evaluation.metrics import judged_queries, measure_rankings

# With fewer queries than these, ranks alone are as good a guess as a weight.
LEAST_QUERIES = 20


def choose_combination(
    retriever: CombinedRetriever,
    collection: Collection,
    queries: Mapping[str, str],
    qrels: Qrels,
    depth: int,
    metric: str,
    seed: int,
    *,
    pseudo: bool = False,
) -> float | None:
    """The weight of the first part, averaged over resamples of the queries; None joins by rank.

    Args:
        retriever: whose parts are to be weighted.
        collection: what the queries belong to.
        queries: query id -> text of the dev queries.
        qrels: their judgements.
        depth: candidates of each part.
        metric: measure to maximise.
        seed: seed of the resampling.
        pseudo: whether the queries are pseudo-queries, which flatter the lexical part; see `choose_fusion_weight`.
    """
    judged = {query_id: found for query_id, found in judged_queries(qrels).items() if query_id in queries}
    if len(judged) < LEAST_QUERIES:
        return None
    asked = {query_id: queries[query_id] for query_id in judged}
    runs = [retrieve(collection, part, asked, depth) for part in retriever.parts]
    values = []
    for weight in FUSION_WEIGHTS:
        run = retriever.with_weight(weight).fused(asked, runs, depth)
        rankings = {query_id: [found.doc_id for found in candidates] for query_id, candidates in run.items()}
        by_query = measure_rankings([metric], judged, rankings)[metric]
        values.append([by_query[query_id] for query_id in judged])
    return best_over_resamples(np.array(values), seed, pseudo=pseudo)


def combined_on_dev(
    retriever: CombinedRetriever,
    collection: Collection,
    split: str,
    queries: Mapping[str, str],
    qrels: Qrels,
    depth: int,
    metric: str,
    seed: int,
) -> CombinedRetriever:
    """The retriever with the weight that queries of a dev split choose; arguments as for `choose_combination`."""
    pseudo = not judged_by_people(collection, split)
    return retriever.with_weight(
        choose_combination(retriever, collection, queries, qrels, depth, metric, seed, pseudo=pseudo)
    )

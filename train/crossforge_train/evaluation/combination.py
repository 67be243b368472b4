"""Chooses on dev how the parts of a combined first stage are weighted."""

from __future__ import annotations

from collections.abc import Mapping

from crossforge.retrievers.base import CombinedRetriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels, mostly_judged_by_people
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.fusion_weight import best_over_resamples, values_by_weight
from crossforge_train.evaluation.metrics import Rankings, judged_queries

# With fewer queries than these, ranks alone are as good a guess as a weight.
LEAST_QUERIES = 20
# More than these, of which a seeded draw is taken, would move no weight and take minutes.
MOST_QUERIES = 2000


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
        seed: seed of the resampling, and of the draw where there are thousands of queries.
        pseudo: whether the queries are pseudo-queries, which flatter the lexical part; see `choose_fusion_weight`.
    """
    judged = {query_id: found for query_id, found in judged_queries(qrels).items() if query_id in queries}
    if len(judged) < LEAST_QUERIES:
        return None
    judged = {query_id: judged[query_id] for query_id in seeded_draw(list(judged), MOST_QUERIES, seed)}
    asked = {query_id: queries[query_id] for query_id in judged}
    runs = [retrieve(collection, part, asked, depth) for part in retriever.parts]

    def order(weight: float) -> Rankings:
        return ids_by_query(retriever.with_weight(weight).fused(asked, runs, depth))

    return best_over_resamples(values_by_weight(metric, judged, order), seed, pseudo=pseudo)


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
    pseudo = not mostly_judged_by_people(collection, split)
    return retriever.with_weight(
        choose_combination(retriever, collection, queries, qrels, depth, metric, seed, pseudo=pseudo)
    )

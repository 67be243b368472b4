"""Chooses on judged queries how the parts of a combined first stage are weighted."""

from __future__ import annotations

from collections.abc import Mapping

from crossforge.retrievers.base import CombinedRetriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels, mostly_asked_by_people, mostly_judged_by_people
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.fusion_weight import best_over_resamples, values_by_weight
from crossforge_train.evaluation.metrics import Rankings, judged_queries

# Fewer queries choose nothing.
LEAST_QUERIES = 20
# The weight of words where there are fewer: on six collections, it found more than joining by rank did on five.
WEIGHT_OF_WORDS = 0.3
# More than these, of which a seeded draw is taken, would move no weight and take minutes.
MOST_QUERIES = 2000


def choose_combination(
    retriever: CombinedRetriever,
    collection: Collection,
    qrels: Qrels,
    depth: int,
    metric: str,
    seed: int,
    *,
    by_people: bool = True,
    pseudo: bool = False,
) -> float:
    """The weight of the lexical part, averaged over resamples of the queries; .3 if fewer than twenty are judged.

    Labels of a machine flatter words, and pseudo-queries, which are worded as the documents, most of all. So half of
    the best weight is taken, or the smallest larger one that keeps up with words alone. Pseudo-queries call for that
    larger one only where vectors find less than half of what words do, as those of a model that does not know the
    language.

    Args:
        retriever: whose parts are to be weighted, the lexical one first.
        collection: what the queries belong to.
        qrels: judgements of queries that no part has learned from.
        depth: candidates of each part.
        metric: measure to maximise.
        seed: seed of the resampling.
        by_people: whether people judged the queries.
        pseudo: whether no person asked them.
    """
    judged = judged_queries(qrels)
    if len(judged) < LEAST_QUERIES:
        return WEIGHT_OF_WORDS
    asked = {query_id: collection.queries[query_id] for query_id in judged}
    runs = [retrieve(collection, part, asked, depth) for part in retriever.parts]

    def order(weight: float) -> Rankings:
        return ids_by_query(retriever.with_weight(weight).fused(asked, runs, depth))

    values = values_by_weight(metric, judged, order)
    vectors, words = values[0].mean(), values[-1].mean()
    if pseudo and vectors >= words / 2:
        return round(best_over_resamples(values, seed) / 2, 2)
    return best_over_resamples(values, seed, pseudo=not by_people)


def combined_on_dev(
    retriever: CombinedRetriever,
    collection: Collection,
    dev: str,
    more: Qrels,
    depth: int,
    metric: str,
    seed: int,
) -> CombinedRetriever:
    """The retriever with the weight that judged queries choose.

    Args:
        retriever: whose parts are to be weighted, the lexical one first.
        collection: its documents, and the queries.
        dev: split to choose on.
        more: judgements by people of other queries that no part has learned from; they choose as well if people judged
            most of dev.
        depth: candidates of each part.
        metric: measure to maximise.
        seed: seed of all draws.
    """
    by_people = mostly_judged_by_people(collection, dev)
    pseudo = not mostly_asked_by_people(collection, dev)
    qrels = _drawn(collection.qrels(dev), MOST_QUERIES, seed)
    if by_people:
        qrels |= _drawn(more, MOST_QUERIES - len(qrels), seed)
    return retriever.with_weight(
        choose_combination(retriever, collection, qrels, depth, metric, seed, by_people=by_people, pseudo=pseudo)
    )


def _drawn(qrels: Qrels, most: int, seed: int) -> dict[str, Mapping[str, int]]:
    return {query_id: qrels[query_id] for query_id in seeded_draw(list(judged_queries(qrels)), most, seed)}

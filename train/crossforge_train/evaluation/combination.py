"""Chooses on judged queries how the parts of a combined first stage are weighted."""

from __future__ import annotations

from crossforge.retrievers.base import CombinedRetriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import (
    Collection,
    Qrels,
    mostly_asked_by_people,
    mostly_judged_by_people,
    of_people,
    titles_among,
)
from crossforge_train.evaluation.fusion_weight import best_over_resamples, values_by_weight
from crossforge_train.evaluation.metrics import Rankings, drawn_queries, judged_queries

# With fewer queries, the weight is not chosen.
LEAST_QUERIES = 20
# The lexical weight then: on five of six collections, it beat joining by rank.
LEXICAL_WEIGHT = 0.3
# With more, the weight hardly moves, and choosing it takes minutes; a seeded draw is taken.
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

    With people's queries, it is the best one. Labels of a machine favour words; then it is half of the best one, or the
    smallest larger one that keeps up with words alone. Pseudo-queries, worded like the documents, favour words even
    more: half of the best one, without having to keep up, unless vectors find less than half of what words find, as
    with an encoder that does not know the language.

    Args:
        retriever: whose parts are to be weighted, the lexical one first.
        collection: what the queries belong to.
        qrels: judgements of queries that no part has learned from.
        depth: candidates of each part.
        metric: measure to maximise.
        seed: seed of the resampling.
        by_people: whether most of these queries are people's, who judged them, too, or titles in their place.
        pseudo: whether most of them are other pseudo-queries.
    """
    judged = judged_queries(qrels)
    if len(judged) < LEAST_QUERIES:
        return LEXICAL_WEIGHT
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
        more: judgements of other queries that no part has learned from: people's, which choose as well if people judged
            most of dev, and titles.
        depth: candidates of each part.
        metric: measure to maximise.
        seed: seed of all draws.
    """
    by_people = mostly_judged_by_people(collection, dev)
    pseudo = not mostly_asked_by_people(collection, dev)
    titles = titles_among(collection, {**more, **collection.qrels(dev)})
    if pseudo and len(titles) >= LEAST_QUERIES:
        qrels, by_people, pseudo = drawn_queries(titles, MOST_QUERIES, seed), True, False
    else:
        qrels = drawn_queries(collection.qrels(dev), MOST_QUERIES, seed)
    if by_people:
        peoples, known = {**of_people(collection, dev), **more}, titles.keys() | qrels.keys()
        others = {query_id: found for query_id, found in peoples.items() if query_id not in known}
        qrels |= drawn_queries(others, MOST_QUERIES - len(qrels), seed)
    return retriever.with_weight(
        choose_combination(retriever, collection, qrels, depth, metric, seed, by_people=by_people, pseudo=pseudo)
    )

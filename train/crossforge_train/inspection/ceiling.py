"""What the first stage finds, and what a perfect reranker could make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossforge.retrievers.base import Retriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.metrics import Rankings, ideal_order, judged_queries, mean, measure_rankings

_DEPTHS = (10, 20, 50, 100, 200, 500, 1000)
_METRIC = "nDCG@10"


@dataclass(frozen=True)
class Ceiling:
    """What a reranker of so many candidates has to work with.

    Attributes:
        recall: share of the relevant documents that are among them.
        ideal_ndcg_10: nDCG@10 if they are ordered by their labels, which no reranker can beat.
    """

    recall: float
    ideal_ndcg_10: float


@dataclass(frozen=True)
class CeilingFacts:
    """What the first stage finds for one split.

    Attributes:
        queries: how many were searched.
        of: how many there are with a relevant document.
        ndcg_10: nDCG@10 of the first stage itself.
        depths: number of candidates -> the ceiling, smallest number first.
    """

    queries: int
    of: int
    ndcg_10: float
    depths: Mapping[int, Ceiling]


def ceiling_facts(
    collection: Collection, retriever: Retriever, depth: int, max_queries: int, seed: int
) -> dict[str, CeilingFacts]:
    """Measure the first stage on each split that has a query with a relevant document.

    Args:
        collection: what to look at.
        retriever: the first stage over its corpus.
        depth: the largest number of candidates to rerank.
        max_queries: the most queries of a split to search; more than these are sampled.
        seed: of the sample.
    """
    depths = [*(found for found in _DEPTHS if found < depth), depth]
    judged = {split: judged_queries(qrels) for split, qrels in collection.splits.items()}
    return {
        split: _measured(collection, retriever, qrels, seeded_draw(list(qrels), max_queries, seed), depths)
        for split, qrels in judged.items()
        if qrels
    }


def _measured(
    collection: Collection, retriever: Retriever, judged: Qrels, drawn: Sequence[str], depths: Sequence[int]
) -> CeilingFacts:
    qrels = {key: judged[key] for key in drawn}
    run = retrieve(collection, retriever, {key: collection.queries[key] for key in drawn}, depths[-1])
    found = ids_by_query(run)
    ceilings = {
        depth: Ceiling(_mean(f"R@{depth}", qrels, found), _mean(_METRIC, qrels, _ideal(qrels, found, depth)))
        for depth in depths
    }
    return CeilingFacts(len(qrels), len(judged), _mean(_METRIC, qrels, found), ceilings)


def _ideal(qrels: Qrels, found: Rankings, depth: int) -> Rankings:
    return {key: ideal_order(qrels[key], doc_ids[:depth]) for key, doc_ids in found.items()}


def _mean(measure: str, qrels: Qrels, rankings: Rankings) -> float:
    return mean(measure_rankings([measure], qrels, rankings)[measure])

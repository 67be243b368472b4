"""What the first stage finds, and what a perfect reranker could make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossforge.retrievers.base import Retriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.metrics import Rankings, ideal_order, judged_queries, mean, measure_rankings
from crossforge_train.evaluation.significance import smallest_detectable

_DEPTHS = (10, 20, 50, 100, 200, 500, 1000)
_METRIC, _CUTOFF = "nDCG@10", 10
_COMPARISONS = 2  # that decide a proof: against the first stage, and against the best free alternative


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
        detectable: the smallest difference in nDCG@10 that all queries of the split show with a probability of 80%, if
            it varies between queries as that of the first stage and its rival does; None without a rival, or if
            the two rank alike.
    """

    queries: int
    of: int
    ndcg_10: float
    depths: Mapping[int, Ceiling]
    detectable: float | None = None


def ceiling_facts(
    collection: Collection,
    retriever: Retriever,
    depth: int,
    max_queries: int,
    seed: int,
    *,
    rival: Retriever | None = None,
    significance: float = 0.05,
) -> dict[str, CeilingFacts]:
    """Measure the first stage on each split that has a query with a relevant document.

    Args:
        collection: what to look at.
        retriever: the first stage over its corpus.
        depth: the largest number of candidates to rerank.
        max_queries: the most queries of a split to search; more than these are sampled.
        seed: of the sample.
        rival: a retriever over the same corpus that needs no training, to tell which differences can be shown.
        significance: p-value below which a difference is shown.
    """
    depths = [*(found for found in _DEPTHS if found < depth), depth]
    judged = {split: judged_queries(qrels) for split, qrels in collection.splits.items()}
    measured = {}
    for split, qrels in judged.items():
        if not qrels:
            continue
        drawn = {key: qrels[key] for key in seeded_draw(list(qrels), max_queries, seed)}
        found = _found(collection, retriever, drawn, max(depth, _CUTOFF))
        detectable = None
        if rival:
            detectable = _detectable(drawn, found, _found(collection, rival, drawn, _CUTOFF), significance)
        if detectable:
            detectable *= (len(drawn) / len(qrels)) ** 0.5  # of all queries, which the proof measures
        measured[split] = CeilingFacts(
            len(drawn), len(qrels), _mean(_METRIC, drawn, found), _ceilings(drawn, found, depths), detectable
        )
    return measured


def _found(collection: Collection, retriever: Retriever, qrels: Qrels, depth: int) -> Rankings:
    return ids_by_query(retrieve(collection, retriever, {key: collection.queries[key] for key in qrels}, depth))


def _ceilings(qrels: Qrels, found: Rankings, depths: Sequence[int]) -> dict[int, Ceiling]:
    return {
        depth: Ceiling(_mean(f"R@{depth}", qrels, found), _mean(_METRIC, qrels, _ideal(qrels, found, depth)))
        for depth in depths
    }


def _detectable(qrels: Qrels, first: Rankings, second: Rankings, significance: float) -> float | None:
    """What so many queries can show; None if both rank alike, or there is one query."""
    one, other = (measure_rankings([_METRIC], qrels, found)[_METRIC] for found in (first, second))
    return smallest_detectable(np.array([one[key] - other[key] for key in qrels]), significance, _COMPARISONS)


def _ideal(qrels: Qrels, found: Rankings, depth: int) -> Rankings:
    return {key: ideal_order(qrels[key], doc_ids[:depth]) for key, doc_ids in found.items()}


def _mean(measure: str, qrels: Qrels, rankings: Rankings) -> float:
    return mean(measure_rankings([measure], qrels, rankings)[measure])

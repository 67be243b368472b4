"""What the first stage finds, and what a perfect reranker could make of it."""

from __future__ import annotations

from typing import Any

from crossforge.retrievers.base import Retriever
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.metrics import Rankings, ideal_order, judged_queries, mean, measure_rankings

_DEPTHS = (10, 20, 50, 100, 200, 500, 1000)
_METRIC = "nDCG@10"


def ceiling_facts(
    collection: Collection, retriever: Retriever, depth: int, max_queries: int, seed: int
) -> dict[str, Any]:
    """For each split nDCG@10 of the first stage, and at several depths its recall and the nDCG@10 of an ideal order.

    The ideal order puts the candidates by their labels: no reranker of these candidates can do better.

    Args:
        collection: what to look at.
        retriever: the first stage over its corpus.
        depth: the largest number of candidates that are reranked.
        max_queries: measure so many queries of a split, by a seeded draw.
        seed: of the draw.
    """
    depths = [*(found for found in _DEPTHS if found < depth), depth]
    return {
        split: {
            "of": len(judged_queries(qrels)),
            **_measured(collection, retriever, _drawn(qrels, max_queries, seed), depths),
        }
        for split, qrels in collection.splits.items()
        if judged_queries(qrels)
    }


def _drawn(qrels: Qrels, count: int, seed: int) -> Qrels:
    judged = judged_queries(qrels)
    return {key: judged[key] for key in seeded_draw(list(judged), count, seed)}


def _measured(collection: Collection, retriever: Retriever, qrels: Qrels, depths: list[int]) -> dict[str, Any]:
    run = retriever.search({key: collection.queries[key] for key in qrels}, depths[-1])
    found = {key: [candidate.doc_id for candidate in candidates] for key, candidates in run.items()}
    return {
        "queries": len(qrels),
        _METRIC: _mean(_METRIC, qrels, found),
        "depths": {
            str(depth): {
                "recall": _mean(f"R@{depth}", qrels, found),
                f"{_METRIC} of an ideal order": _mean(_METRIC, qrels, _ideal(qrels, found, depth)),
            }
            for depth in depths
        },
    }


def _ideal(qrels: Qrels, found: Rankings, depth: int) -> Rankings:
    return {key: ideal_order(qrels[key], doc_ids[:depth]) for key, doc_ids in found.items()}


def _mean(measure: str, qrels: Qrels, rankings: Rankings) -> float:
    return mean(measure_rankings([measure], qrels, rankings)[measure])

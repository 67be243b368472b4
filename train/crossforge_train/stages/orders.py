"""The systems of a run's proof on queries that people and a machine judged, ordered by the labels of either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from crossforge.errors import InputError
from crossforge.reranker import Reranker
from crossforge.retrievers.base import StoredRetriever
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.evaluation.free_alternatives import Free, free_systems
from crossforge_train.evaluation.proof import systems_of_proof
from crossforge_train.evaluation.system_orders import (
    LEAST_QUERIES,
    BothLabels,
    SystemOrders,
    no_orders,
    system_orders,
    too_few,
)
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.first_stage import approximated
from crossforge_train.stages.rivals import measured_rivals

_SPLIT = "judged twice"


def bench_of_both(
    config: Config, collection: Collection, retriever: StoredRetriever, labels: BothLabels, dev: Bench
) -> Bench | None:
    """The bench of the queries that both judged, reranked as dev is; None if they are too few to order systems."""
    if len(labels.queries) < LEAST_QUERIES:
        return None
    asked = replace(
        collection,
        queries={**collection.queries, **labels.queries},
        splits={**collection.splits, _SPLIT: labels.people},
    )
    run = retrieve(asked, approximated(retriever, None), labels.queries, config.first_stage.depth)
    bench = set_up_bench(asked, _SPLIT, run, retriever, dev.depth, dev.config, config.seed, dev.reporter)
    return replace(bench, rivals_depth=dev.rivals_depth)


def measured_orders(
    bench: Bench | None,
    labels: BothLabels,
    reranker: Reranker,
    fusion_weight: float,
    free: Free,
    rivals: Mapping[str, Reranker | Path],
    metric: str,
) -> SystemOrders:
    """Order the systems of the proof by either kind of labels.

    Args:
        bench: of the queries that both judged; None if they are too few.
        labels: what both say.
        reranker: that is proven.
        fusion_weight: share of the first stage in the shipped order.
        free: the free alternatives.
        rivals: base model and incumbent; a run file has none of these queries and is left out.
        metric: the measure that orders them.
    """
    if bench is None:
        return too_few(metric, len(labels.queries))
    loaded = {name: found for name, found in rivals.items() if isinstance(found, Reranker)}
    try:
        others = [*free_systems(bench, free), *measured_rivals(bench, loaded)]
        systems = systems_of_proof(bench, reranker, fusion_weight, others)
    except InputError as error:  # a first stage that knows other queries only; the proof itself stands all the same
        return no_orders(metric, len(labels.queries), str(error))
    return system_orders(systems, labels, metric, bench.seed)

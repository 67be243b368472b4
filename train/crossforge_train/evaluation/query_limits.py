"""How many queries are measured: as many as `evaluation.minutes` allow, by a timed sample."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from crossforge.reranker import Reranker
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.systems import Bench

LEAST_DEV = 50
LEAST_TEST = 100  # with fewer, only large differences show, and the verdict is a TIE whatever was trained
TIMED = 6
_LEAST_DEEP = 10
_DEEPER = 0.2  # share of the time for the part of the depth curve that is deeper than what ships


@dataclass(frozen=True)
class QueryLimits:
    """The most queries to measure; None: all.

    Attributes:
        dev: on dev.
        test: on each test split.
        deep: on each test split, for the part of the depth curve that is deeper than the rerank depth.
    """

    dev: int | None
    test: int | None
    deep: int


def limits_of(settings: EvaluationConfig) -> QueryLimits:
    """The limits that hold however much time there is."""
    return QueryLimits(settings.most_dev_queries, settings.most_queries, settings.deep_queries)


def query_seconds(bench: Bench, reranker: Reranker) -> float:
    """Mean seconds that a query's candidates take, over the bench's queries, of which the first also warms up."""
    pipeline = bench.pipeline(reranker)

    def seconds(query_id: str) -> float:
        started = time.perf_counter()
        pipeline.rerank(bench.queries[query_id], bench.run[query_id][: bench.depth])
        return time.perf_counter() - started

    seconds(next(iter(bench.queries)))
    return sum(map(seconds, bench.queries)) / len(bench.queries)


def limits_within(
    settings: EvaluationConfig, seconds: float, depth: int, dev: int, tests: Sequence[int]
) -> QueryLimits:
    """The limits for `evaluation.minutes`; what the config sets stays as it is.

    50 queries of dev and 100 of each test split are measured, whatever they take.

    Args:
        settings: the config section.
        seconds: that a query takes at the rerank depth.
        depth: the rerank depth.
        dev: number of dev queries.
        tests: number of queries of each test split.
    """
    most = limits_of(settings)
    if settings.minutes is None:
        return most
    dev, tests = _at_most(dev, most.dev), [_at_most(queries, most.test) for queries in tests]
    in_time = 60 * settings.minutes / seconds
    deeper = (settings.depths[-1] - depth) / depth * len(tests)  # queries' worth of one more query in the deeper part
    deep = min(most.deep, int(_DEEPER * in_time / deeper)) if deeper > 0 else most.deep
    deep = deep if deep >= min(most.deep, _LEAST_DEEP) else 0
    rest = in_time - deep * max(0.0, deeper)
    if dev + sum(tests) <= rest:
        return QueryLimits(most.dev, most.test, deep)
    dev_limit = most.dev
    if settings.max_dev_queries == "auto":
        dev_limit = _limit(max(LEAST_DEV, int(rest / 3)), [dev], most.dev)
    left = (rest - _at_most(dev, dev_limit)) / len(tests)
    test_limit = most.test
    if settings.max_queries == "auto":
        test_limit = _limit(max(LEAST_TEST, int(left)), tests, most.test)
    return QueryLimits(dev_limit, test_limit, deep)


def _limit(limit: int, splits: Sequence[int], most: int | None) -> int | None:
    """The limit, if any of the splits, of so many queries, is larger."""
    return limit if max(splits) > limit else most


def _at_most(queries: int, limit: int | None) -> int:
    return queries if limit is None else min(queries, limit)

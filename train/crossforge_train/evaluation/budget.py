"""Fits the rerank depth to the time that a query may take on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from crossforge.pipeline import RetrieveAndRerank
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.curves import median_milliseconds
from crossforge_train.evaluation.depth import DEPTHS
from crossforge_train.evaluation.systems import Bench

_QUERIES = 10
# Fewer candidates than this are no list to rerank.
_LEAST = 5


def milliseconds_by_depth(bench: Bench, pipeline: RetrieveAndRerank) -> dict[int, float]:
    """The median time of a query, retrieval included, for every depth up to the bench's, in milliseconds.

    Args:
        bench: the dev split; ten of its queries are timed one at a time.
        pipeline: what ships.
    """
    by_text = {bench.queries[query_id]: query_id for query_id in seeded_draw(list(bench.queries), _QUERIES, bench.seed)}
    depths = sorted({_LEAST, 10, *(depth for depth in DEPTHS if depth < bench.depth), bench.depth})

    def at(depth: int) -> float:
        def answer(query: str) -> None:
            bench.retriever.search({by_text[query]: query}, depth)
            pipeline.rerank(query, bench.run[by_text[query]][:depth])

        return median_milliseconds(answer, by_text)

    with bench.reporter.bar("timing dev", len(depths)) as advance:
        found = {}
        for depth in depths:
            found[depth] = at(depth)
            advance()
    return found


def depth_within(budget_ms: float, milliseconds: Mapping[int, float]) -> int | None:
    """The largest depth whose queries stay within the budget; None if no depth does."""
    return max((depth for depth, took in milliseconds.items() if took <= budget_ms), default=None)

"""How much of an exact search an approximate one finds, on dev."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crossforge.retrievers.base import ApproximableRetriever, Approximation
from crossforge.runs import Run

# Lists that a query may read: each step doubles the time.
_LISTS = (8, 16, 32, 64, 128, 256)
# What is missing beyond this share are mostly the last documents of the list.
_RECALL = 0.99


def approximated_on_dev(
    retriever: ApproximableRetriever, queries: Mapping[str, str], depth: int
) -> ApproximableRetriever:
    """The retriever, reading as few lists of vectors for a query as find 99% of what an exact search finds.

    Args:
        retriever: one that searches exactly.
        queries: query id -> text of the dev queries.
        depth: how many documents are searched for.

    Raises:
        InputError: the library for it is not installed.
    """
    exact = retriever.search(queries, depth)
    found = retriever
    for lists in _LISTS:
        found = found.approximated(Approximation(lists, depth, 0.0))
        recall = _recall(found.search(queries, depth), exact)
        found = found.approximated(Approximation(lists, depth, recall))
        if recall >= _RECALL:
            break
    return found


def _recall(run: Run, exact: Run) -> float:
    """The share of the exact documents that a run holds, averaged over queries."""
    shares = [
        len({one.doc_id for one in run[query_id]} & {one.doc_id for one in found}) / len(found)
        for query_id, found in exact.items()
        if found
    ]
    return round(float(np.mean(shares)), 4)

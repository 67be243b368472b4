"""Chooses which part of a long document is read, by what suits the starting model on dev."""

from __future__ import annotations

from collections.abc import Callable

from crossforge.long_documents import BEST_WINDOW, FIRST_WINDOW, LongDocuments
from crossforge_train.training.dev_evaluator import DevEvaluator
from crossforge_train.training.history import DEV_CUT, DEV_METRIC
from crossforge_train.training.picks import Head

# On so many dev queries and candidates both are measured.
MEASURED_QUERIES, MEASURED_DEPTH = 100, 20


def pick_long_documents(
    head: Head, *, judged_by_people: bool, evaluator_of: Callable[[LongDocuments], DevEvaluator]
) -> tuple[LongDocuments, str]:
    """The beginning, unless the window that matches best suits the starting model better on dev.

    Pseudo-queries are made from a part of their document, a machine that judges reads a part of it, and a fresh head
    ranks nothing, so none of them can tell.

    Args:
        head: the starting model's.
        judged_by_people: whether people asked and judged most of dev.
        evaluator_of: measures the starting model on dev, reading one or the other.
    """
    if head == "fresh":
        return BEST_WINDOW, "because the head is fresh, so that dev cannot tell"
    if not judged_by_people:
        return BEST_WINDOW, "because dev cannot tell what people look for: they did not judge most of it"
    first = evaluator_of(FIRST_WINDOW)(None)
    if not first[DEV_CUT]:
        return BEST_WINDOW, "because every candidate on dev is read in full"
    best = evaluator_of(BEST_WINDOW)(None)
    by_first, by_best = first[DEV_METRIC], best[DEV_METRIC]
    chosen = BEST_WINDOW if by_best > by_first else FIRST_WINDOW
    return chosen, f"because before training dev is {by_first:.3f} by the first window and {by_best:.3f} by the best"

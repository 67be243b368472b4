"""Which part of long documents is read: what suits the starting model better on dev."""

from __future__ import annotations

from typing import Any

import pytest

from crossforge.long_documents import LongDocuments
from crossforge_train.training.reading import pick_long_documents


def measured(first: float, best: float, cut: float = 0.5) -> Any:
    """Stands for the evaluators: what each part gives, and the share of cut candidates."""
    quality = {"first_window": first, "best_window": best}
    return lambda read: lambda model: {"dev_metric": quality[read], "dev_cut": cut}


def refused(read: LongDocuments) -> Any:
    raise AssertionError(f"measured {read}")


@pytest.mark.parametrize(("first", "best", "chosen"), [(0.5, 0.4, "first"), (0.4, 0.5, "best"), (0.5, 0.5, "first")])
def test_dev_decides_and_the_simpler_wins_a_draw(first: float, best: float, chosen: str) -> None:
    found, why = pick_long_documents("grafted", judged_by_people=True, evaluator_of=measured(first, best))
    assert found == f"{chosen}_window"
    assert f"{first:.3f}" in why
    assert f"{best:.3f}" in why


@pytest.mark.parametrize(("head", "by_people"), [("fresh", True), ("grafted", False), ("trained", False)])
def test_nothing_is_measured_where_dev_cannot_tell(head: Any, by_people: bool) -> None:
    assert pick_long_documents(head, judged_by_people=by_people, evaluator_of=refused)[0] == "best_window"


def test_nothing_is_compared_where_every_candidate_is_read_in_full() -> None:
    found, why = pick_long_documents("trained", judged_by_people=True, evaluator_of=measured(0.9, 0.1, cut=0))
    assert (found, why) == ("best_window", "because every candidate on dev is read in full")

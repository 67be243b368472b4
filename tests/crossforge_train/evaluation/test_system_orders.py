"""Kendall's tau between the systems' orders under people's and a machine's labels, and when it is not said."""

import numpy as np
import pytest

from crossforge_train.collections.agreement import JudgedTwice
from crossforge_train.evaluation.system_orders import both_labels, system_orders
from crossforge_train.evaluation.systems import System

METRIC = "nDCG@10"
DOCS = [f"d{n}" for n in range(6)]


def pairs(people: dict[str, int], machine: dict[str, int], queries: int = 8) -> list[JudgedTwice]:
    """The same labels for every query; what is not named is 0."""
    return [
        JudgedTwice(f"query {n}", doc_id, people.get(doc_id, 0), machine.get(doc_id, 0))
        for n in range(queries)
        for doc_id in DOCS
    ]


def systems(*tops: str, queries: int = 8) -> list[System]:
    """One for each document, which it has on top; the others follow in their order, with unjudged ones between."""
    orders = [[top, "unjudged-1", "unjudged-2", *(doc_id for doc_id in DOCS if doc_id != top)] for top in tops]
    return [
        System(f"{top} first", {f"both-{n}": order for n in range(1, queries + 1)})
        for top, order in zip(tops, orders, strict=True)
    ]


GRADES = {"d5": 3, "d4": 2, "d3": 1}
OTHERS = ("d5", "d4", "d3", "d0")


def test_the_same_labels_give_the_same_order_and_opposite_ones_the_opposite() -> None:
    same = system_orders(systems(*OTHERS), both_labels(pairs(GRADES, GRADES)), METRIC, 1)
    assert (same.tau, same.interval, same.queries, same.why) == (1, (1, 1), 8, None)
    assert list(same.people) == [f"{top} first" for top in OTHERS]
    assert same.people == same.machine
    opposite = system_orders(systems("d5", "d4", "d3", "d2"), both_labels(pairs({"d5": 1}, {"d2": 1})), METRIC, 1)
    assert opposite.people["d5 first"] == 1 == opposite.machine["d2 first"]
    assert opposite.tau is not None and opposite.tau < 0


def test_tau_counts_pairs_of_systems_and_knows_ties() -> None:
    machine = {"d4": 3, "d5": 2, "d3": 1}
    found = system_orders(systems(*OTHERS), both_labels(pairs(GRADES, machine)), METRIC, 1)
    assert found.tau == pytest.approx((5 - 1) / 6), "one of six pairs of systems is the other way round"
    # Two systems that people find equally good: (concordant - discordant) / sqrt(untied * untied).
    tied = system_orders(
        systems("d5", "d4", "d3", "d0"), both_labels(pairs({"d5": 1, "d4": 1, "d3": 0}, GRADES)), METRIC, 1
    )
    values = [np.array(list(means.values())).round(6) for means in (tied.people, tied.machine)]
    signs = [np.sign(one[:, None] - one)[np.triu_indices(4, 1)] for one in values]
    expected = (signs[0] * signs[1]).sum() / np.sqrt(np.abs(signs[0]).sum() * np.abs(signs[1]).sum())
    assert np.abs(signs[0]).sum() < 6
    assert tied.tau == pytest.approx(expected)


def test_only_documents_that_both_judged_count() -> None:
    found = system_orders(systems(*OTHERS), both_labels(pairs({"d5": 1}, {"d5": 1})), METRIC, 1)
    assert found.people["d5 first"] == 1
    buried = [
        System(one.name, {key: ["x", "y", *order] for key, order in one.rankings.items()}) for one in systems("d5")
    ]
    assert system_orders(buried, both_labels(pairs({"d5": 1}, {"d5": 1})), METRIC, 1).people == {"d5 first": 1}


def test_the_interval_is_over_queries() -> None:
    mixed = [*pairs(GRADES, GRADES, 6), *(JudgedTwice(f"other {n}", pair.doc_id, pair.people, pair.machine)
             for n in range(6) for pair in pairs({"d5": 1, "d4": 2}, {"d3": 3, "d0": 1}, 1))]  # fmt: skip
    found = system_orders(systems(*OTHERS, queries=12), both_labels(mixed), METRIC, 1)
    assert found.interval is not None and found.tau is not None
    assert found.interval[0] < found.tau <= found.interval[1]


def test_queries_that_one_kind_finds_nothing_for_are_left_out() -> None:
    labels = both_labels([*pairs(GRADES, GRADES, 5), JudgedTwice("nothing", "d1", 0, 3), JudgedTwice("no", "d1", 1, 0)])
    assert list(labels.queries.values()) == [f"query {n}" for n in range(5)]
    assert labels.people["both-1"] == {doc_id: GRADES.get(doc_id, 0) for doc_id in DOCS}


def test_too_few_queries_or_systems_are_told() -> None:
    few = system_orders(systems(*OTHERS, queries=4), both_labels(pairs(GRADES, GRADES, 4)), METRIC, 1)
    assert few.tau is None
    assert few.why == (
        "4 queries have a document that is relevant to people and one that is to the model, and 5 are needed; judge "
        "more (`crossforge judge`)"
    )
    two = system_orders(systems("d5", "d4", "d3"), both_labels(pairs(GRADES, GRADES)), METRIC, 1)
    assert (two.tau, two.why) == (None, "3 systems have too few orders; 4 are needed")
    assert len(two.people) == 3, "what was measured is shown all the same"
    same = system_orders(systems(*["d0"] * 1, "d1", "d2", "d3"), both_labels(pairs({"d5": 1}, {"d5": 1})), METRIC, 1)
    assert same.why == "by one kind of labels all systems are equally good"

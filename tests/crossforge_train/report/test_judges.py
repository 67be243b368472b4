"""Report and card say who judged."""

from collections.abc import Mapping

import pytest

from crossforge_train.collections.collection import (
    Collection,
    judged_by_people,
    judges,
    mostly_asked_by_people,
    mostly_judged_by_people,
)
from crossforge_train.collections.counts import Counts
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.packaging.card import _judges
from crossforge_train.report.tables import PSEUDO, remarks, warning_lines

MODEL = "first stage and a-model"


def split(judged: Mapping[str, int], *, pseudo: bool) -> SplitReport:
    nothing: dict = dict.fromkeys(["systems", "comparisons", "gains", "best", "worst"], ())
    return SplitReport("test", 100, 0, 0, verdict="TIE", ceiling={}, subject="a", baseline="b", details=None,
                       pseudo=pseudo, judges=judged, **nothing)  # fmt: skip


@pytest.mark.parametrize(
    ("judged", "pseudo", "remark", "warning"),
    [
        ({}, False, [], []),
        ({"people": 100}, False, ["judged by people"], []),
        (
            {"pseudo-queries": 90, "people": 10},
            True,
            ["judged by pseudo-queries (90) and people (10)"],
            [
                "people judged only 10 of these 100 queries: the others are pseudo-queries made from the documents, so "
                "this proves little about what people ask; collect real judgements with `crossforge judge`"
            ],
        ),
        (
            {MODEL: 90, "people": 6, "clicks": 4},
            True,
            [f"judged by {MODEL} (90) and people (6) and clicks (4)"],
            [
                f"people judged only 10 of these 100 queries: {MODEL} judged others, so this says mostly how far the "
                "systems agree with that; collect real judgements with `crossforge judge`"
            ],
        ),
        ({}, True, [], [PSEUDO]),
        ({"pseudo-queries": 100}, True, [], [PSEUDO]),
        ({"clicks": 100}, False, ["judged by clicks"], []),
        ({"people": 60, "clicks": 40}, False, ["judged by people (60) and clicks (40)"], []),
        (
            {MODEL: 100},
            True,
            [f"judged by {MODEL}"],
            [
                f"no person judged these queries: {MODEL} did, so this says how far the systems agree with that; "
                "collect real judgements with `crossforge judge`"
            ],
        ),
    ],
)
def test_the_report_names_the_judge(judged: dict, pseudo: bool, remark: list[str], warning: list[str]) -> None:
    found = split(judged, pseudo=pseudo)
    assert remarks(found) == remark
    assert warning_lines(found, "nDCG@10") == warning


def test_the_card_names_the_judge_of_each_split() -> None:
    counts = Counts(
        "any", 1, {}, "drop", {}, [], judges={"train": {"clicks": 1200, "people": 3}, "test": {"people": 9}}
    )
    assert _judges(counts) == " Judged by clicks (1,200) and people (3) for train; people for test."
    for known, said in (
        ({}, ""),
        ({"train": {"people": 3}}, " Judged by people."),
        ({"train": {"pseudo-queries": 3}}, ""),
    ):
        assert _judges(Counts("any", 1, {}, "drop", {}, [], judges=known)) == said


def test_clicks_are_of_people_and_a_models_labels_are_not() -> None:
    fields = {"a": {"judged_by": "clicks"}, "b": {"judged_by": MODEL}, "c": {"pseudo_query": "title"}}
    queries = {key: key for key in "abcd"}
    splits = {f"of {key}": {key: {"d": 1}} for key in "abcd"} | {"whole": {}}
    found = Collection("any", {"d": None}, queries, splits, fields)  # type: ignore[dict-item]
    assert [judged_by_people(found, f"of {key}") for key in "abcd"] == [True, False, False, True]
    assert [mostly_asked_by_people(found, f"of {key}") for key in "abcd"] == [True, True, False, True]
    assert [judges(found, f"of {key}") for key in "abcd"] == [
        {"clicks": 1},
        {MODEL: 1},
        {"pseudo-queries": 1},
        {"people": 1},
    ]


@pytest.mark.parametrize(
    ("people", "machines", "some", "most"),
    [(2, 1, True, True), (2, 2, True, False), (1, 3, True, False), (0, 3, False, False), (0, 0, False, False)],
)
def test_a_mixture_is_peoples_if_most_of_its_queries_are(people: int, machines: int, some: bool, most: bool) -> None:
    fields = {f"made {number}": {"pseudo_query": "title"} for number in range(machines)}
    queries = {key: key for key in [*fields, *(f"asked {number}" for number in range(people))]}
    splits = {"dev": {key: {"d": 1} for key in queries}}
    found = Collection("any", {"d": None}, queries, splits, fields)  # type: ignore[dict-item]
    assert (judged_by_people(found, "dev"), mostly_judged_by_people(found, "dev")) == (some, most)
    assert mostly_asked_by_people(found, "dev") == most

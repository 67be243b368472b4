"""Which labels a judge's grades come to, and which are probably wrong."""

from __future__ import annotations

import random

import pytest

from crossforge_train.adaptation.graded_labels import GradedPair, graded_pairs, labels_of
from crossforge_train.collections.agreement import JudgedTwice
from crossforge_train.config.judge import JudgeConfig

QUERIES, DEPTH, NOISE = 400, 10, 0.2


def config(**settings: object) -> JudgeConfig:
    return JudgeConfig(model="m", **settings)


def simulated() -> tuple[list[GradedPair], dict[tuple[str, str], bool]]:
    """One document of ten is relevant, most often the first, and one grade of five is wrong."""
    draw, pairs, truth = random.Random(0), [], {}
    for query in range(QUERIES):
        best = min(int(draw.expovariate(0.5)), DEPTH - 1)
        for place in range(DEPTH):
            right = 3 if place == best else 0
            wrong = [grade for grade in range(4) if grade != right]
            grade = draw.choice(wrong) if draw.random() < NOISE else right
            pairs.append(GradedPair(f"q{query}", f"d{place}", place, grade))
            truth[f"q{query}", f"d{place}"] = place == best
    return pairs, truth


def by_people(pairs: list[GradedPair], truth: dict[tuple[str, str], bool], queries: int) -> list[JudgedTwice]:
    return [
        JudgedTwice(pair.query_id, pair.doc_id, int(truth[pair.query_id, pair.doc_id]), pair.grade)
        for pair in pairs[: queries * DEPTH]
    ]


def right_share(labels: dict, truth: dict[tuple[str, str], bool]) -> tuple[float, int]:
    """The share of the positives that are relevant, and how many these are."""
    found = [truth[key, doc_id] for key, judged in labels.items() for doc_id, label in judged.items() if label]
    return sum(found) / len(found), sum(found)


def test_more_of_what_is_kept_is_right() -> None:
    pairs, truth = simulated()
    both = by_people(pairs, truth, 40)
    plain, without = labels_of(pairs, both, config(least_posterior=0)), labels_of(pairs, both, config())
    assert plain.left_out == 0
    (before, many), (after, fewer) = right_share(dict(plain.labels), truth), right_share(dict(without.labels), truth)
    assert before < 0.5
    assert after > before + 0.2
    assert fewer > 0.75 * many
    assert without.left_out == len(pairs) - sum(map(len, without.labels.values()))


def test_what_people_judged_too_little_of_is_taken_as_it_is() -> None:
    pairs, truth = simulated()
    assert labels_of(pairs, by_people(pairs, truth, 40), config(least_kappa=None)).left_out == 0, (
        "people decide nothing"
    )
    for both in ([], by_people(pairs, truth, 2), [JudgedTwice("q", f"d{n}", 0, 0) for n in range(99)]):
        found = labels_of(pairs, both, config())
        assert found.left_out == 0
        assert sum(map(len, found.labels.values())) == len(pairs)


def test_a_judge_that_is_right_loses_nothing() -> None:
    pairs, truth = simulated()
    perfect = [pair._replace(grade=3 if truth[pair.query_id, pair.doc_id] else 0) for pair in pairs]
    found = labels_of(perfect, by_people(perfect, truth, 40), config())
    assert found.left_out == 0
    assert right_share(dict(found.labels), truth) == (1, QUERIES)


def test_places_count_what_has_no_grade() -> None:
    pairs = [("q", "a"), ("q", "b"), ("p", "c"), ("q", "d")]
    found = list(graded_pairs(pairs, [1, None, 2, 3]))
    assert found == [GradedPair("q", "a", 0, 1), GradedPair("p", "c", 0, 2), GradedPair("q", "d", 2, 3)]
    assert labels_of(found, [], config()).labels == {"q": {"a": 0, "d": 3}, "p": {"c": 2}}
    with pytest.raises(ValueError, match="zip"):
        list(graded_pairs(pairs, [1]))

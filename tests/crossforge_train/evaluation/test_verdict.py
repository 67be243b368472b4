"""WIN, TIE and REGRESSION on values that were made up for them."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.evaluation.metrics import measure_rankings
from crossforge_train.evaluation.significance import randomization_p_value
from crossforge_train.evaluation.verdict import Comparison, Contest, compare_systems, overall_verdict, system_results

QUERIES = [f"q{number}" for number in range(30)]
QRELS = {query_id: {"good": 1} for query_id in QUERIES}
BEST, MIDDLE, WORST = ["good", "a", "b"], ["a", "good", "b"], ["a", "b", "good"]
CONFIG = EvaluationConfig(permutations=2000)


def everywhere(ranking: list[str]) -> dict[str, list[str]]:
    return dict.fromkeys(QUERIES, ranking)


def measured(**rankings: dict) -> dict:
    return {name: measure_rankings(CONFIG.measures, QRELS, found) for name, found in rankings.items()}


def compared(before: dict, after: dict) -> Comparison:
    (found,) = compare_systems(
        measured(before=before, after=after), Contest("before", [("after", "before")]), CONFIG, 0
    )
    return found


@pytest.mark.parametrize(("shipped", "verdict"), [(BEST, "WIN"), (MIDDLE, "TIE"), (WORST, "REGRESSION")])
def test_the_verdict_says_whether_it_is_better(shipped: list[str], verdict: str) -> None:
    assert compared(everywhere(MIDDLE), everywhere(shipped)).verdict == verdict


def test_a_difference_that_may_be_chance_is_a_tie() -> None:
    found = compared(everywhere(MIDDLE), {**everywhere(MIDDLE), "q1": BEST, "q2": BEST, "q3": WORST})
    assert found.verdict == "TIE"
    assert found.difference > 0
    assert found.p_value > 0.05
    assert (found.wins, found.losses) == (2, 1)


def test_share_and_size_of_the_effect_are_what_one_works_out_by_hand() -> None:
    before, after = everywhere(MIDDLE), {**everywhere(MIDDLE), **dict.fromkeys(QUERIES[:15], BEST)}
    found = compared(before, after)
    gain = 1 - 1 / np.log2(3)
    assert found.difference == pytest.approx(gain / 2)
    assert found.relative == pytest.approx((gain / 2) / (1 / np.log2(3)))
    differences = np.array([gain] * 15 + [0.0] * 15)
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert found.interval[0] < found.difference < found.interval[1]


def test_a_baseline_of_zero_has_no_share() -> None:
    nothing = {query_id: [] for query_id in QUERIES}
    assert compared(nothing, everywhere(BEST)).relative is None


def noisy(seed: int, share: float) -> dict[str, list[str]]:
    draw = np.random.default_rng(seed)
    return {
        query_id: BEST if draw.random() < share else WORST if draw.random() < 0.3 else MIDDLE for query_id in QUERIES
    }


def test_one_more_system_leaves_the_deciding_comparisons_as_they_are() -> None:
    few = measured(base=everywhere(MIDDLE), ours=noisy(1, 0.3), theirs=noisy(2, 0.2))
    many = {**few, **measured(other=noisy(3, 0.4), another=noisy(4, 0.1))}
    contest = Contest("base", [("ours", "base"), ("ours", "theirs")])
    before, after = (compare_systems(values, contest, CONFIG, 0) for values in (few, many))
    assert [found for found in before if found.decisive] == [found for found in after if found.decisive]
    assert len(after) == len(before) + 2


def test_what_the_queries_can_show_is_corrected_within_the_family_as_well() -> None:
    values = measured(base=everywhere(MIDDLE), ours=noisy(1, 0.3), theirs=noisy(2, 0.2))
    pair = ("ours", "base")
    alone, of_two = (
        compare_systems(values, Contest("base", [pair, *more]), CONFIG, 0)[0] for more in ([], [("ours", "theirs")])
    )
    assert alone.detectable
    assert of_two.detectable == pytest.approx(alone.detectable * (2.2414 + 0.8416) / (1.96 + 0.8416), rel=1e-3)
    assert compared(everywhere(MIDDLE), everywhere(MIDDLE)).detectable is None


def test_p_values_are_corrected_within_their_family() -> None:
    values = measured(base=everywhere(MIDDLE), ours=noisy(1, 0.3), theirs=noisy(2, 0.2))
    contest = Contest("base", [("ours", "base"), ("ours", "theirs")])
    found = compare_systems(values, contest, CONFIG, 0)
    assert [(each.system, each.baseline) for each in found] == [
        ("ours", "base"),
        ("ours", "theirs"),
        ("theirs", "base"),
    ]

    def raw(system: str, baseline: str) -> float:
        pairs = zip(values[system]["nDCG@10"].values(), values[baseline]["nDCG@10"].values(), strict=True)
        return randomization_p_value(np.array([mine - other for mine, other in pairs]), 2000, 0)

    low, high = sorted([raw("ours", "base"), raw("ours", "theirs")])
    assert sorted(each.p_value for each in found[:2]) == pytest.approx(sorted([2 * low, max(2 * low, high)]))
    assert found[2].p_value == raw("theirs", "base")


def test_means_and_intervals_are_those_of_the_rankings() -> None:
    results = system_results(measured(before=everywhere(MIDDLE), after={**everywhere(BEST), "q0": WORST}), CONFIG, 0)
    assert [found.name for found in results] == ["before", "after"]
    assert results[1].means["RR@10"] == pytest.approx((29 + 1 / 3) / 30)
    assert results[1].interval[0] < results[1].means["nDCG@10"] < results[1].interval[1] <= 1


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        (["WIN", "WIN"], "WIN"),
        (["WIN", "TIE"], "TIE"),
        (["TIE"], "TIE"),
        (["WIN", "REGRESSION"], "REGRESSION"),
        (["REGRESSION", "TIE", "WIN"], "REGRESSION"),
        ([], "TIE"),
    ],
)
def test_one_regression_is_a_regression_and_only_wins_are_a_win(verdicts: list, overall: str) -> None:
    assert overall_verdict(verdicts) == overall


BOTH_WAYS = ("a", "b"), ("b", "a")
OPPOSITE = {"WIN": "REGRESSION", "REGRESSION": "WIN", "TIE": "TIE"}
VALUES = st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 3), min_size=1, max_size=25)


def of_values(found: list[tuple[float, ...]], order: list[int] | None = None) -> list[Comparison]:
    """Three systems with these values; the first two are compared both ways, in a family with the third."""
    rows = order or range(len(found))
    values = {name: {CONFIG.metric: {f"q{row}": found[row][place] for row in rows}} for place, name in enumerate("abc")}
    families = [Contest("c", [(one, other), (one, "c")]) for one, other in BOTH_WAYS]
    return [compare_systems(values, contest, CONFIG, 0)[0] for contest in families]


def alone(found: list[tuple[float, ...]]) -> list[Comparison]:
    """The first two systems, compared both ways."""
    values = {
        name: {CONFIG.metric: {f"q{row}": one[place] for row, one in enumerate(found)}}
        for place, name in enumerate("ab")
    }
    return [compare_systems(values, Contest(other, [(one, other)]), CONFIG, 0)[0] for one, other in BOTH_WAYS]


@settings(max_examples=40)
@given(VALUES)
def test_the_other_way_round_a_verdict_is_the_opposite(found: list[tuple[float, ...]]) -> None:
    one, other = alone(found)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p_value == other.p_value
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-9)
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert one.verdict == OPPOSITE[other.verdict]


@settings(max_examples=40)
@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_queries_changes_no_difference(found: list[tuple[float, ...]], draw: Random) -> None:
    order = draw.sample(range(len(found)), len(found))
    for before, after in zip(of_values(found), of_values(found, order), strict=True):
        assert after.difference == pytest.approx(before.difference)
        assert (after.wins, after.losses) == (before.wins, before.losses)

"""WIN, TIE and REGRESSION on rankings that were made up for them."""

from dataclasses import replace

import pytest

from crossforge_train.config import EvaluationConfig
from crossforge_train.evaluation.verdict import (
    FIRST_STAGE,
    RERANKER,
    SHIPPED,
    SplitResult,
    compare_systems,
    overall_verdict,
)

QUERIES = [f"q{number}" for number in range(30)]
QRELS = {query_id: {"good": 1} for query_id in QUERIES}
BEST, MIDDLE, WORST = ["good", "a", "b"], ["a", "good", "b"], ["a", "b", "good"]
CONFIG = EvaluationConfig(permutations=2000)


def compared(first_stage: dict, shipped: dict) -> SplitResult:
    systems = {FIRST_STAGE: first_stage, RERANKER: first_stage, SHIPPED: shipped}
    return compare_systems("test", QRELS, systems, CONFIG, 0)[0]


def everywhere(ranking: list[str]) -> dict[str, list[str]]:
    return dict.fromkeys(QUERIES, ranking)


@pytest.mark.parametrize(("shipped", "verdict"), [(BEST, "WIN"), (MIDDLE, "TIE"), (WORST, "REGRESSION")])
def test_the_verdict_says_whether_what_ships_is_better(shipped: list[str], verdict: str) -> None:
    assert compared(everywhere(MIDDLE), everywhere(shipped)).verdict == verdict


def test_a_difference_that_may_be_chance_is_a_tie() -> None:
    shipped = {**everywhere(MIDDLE), "q1": BEST, "q2": BEST, "q3": WORST}
    found = compared(everywhere(MIDDLE), shipped)
    comparison = found.systems[2].comparison
    assert found.verdict == "TIE"
    assert comparison.difference > 0
    assert comparison.p_value > 0.05
    assert (comparison.wins, comparison.losses) == (2, 1)


def test_only_what_ships_decides() -> None:
    systems = {FIRST_STAGE: everywhere(MIDDLE), RERANKER: everywhere(WORST), SHIPPED: everywhere(BEST)}
    result, values = compare_systems("test", QRELS, systems, CONFIG, 0)
    assert result.verdict == "WIN"
    assert [system.name for system in result.systems] == [FIRST_STAGE, RERANKER, SHIPPED]
    assert result.systems[0].comparison is None
    assert result.systems[1].comparison.difference < 0
    assert values[SHIPPED]["RR@10"] == dict.fromkeys(QUERIES, 1.0)


def test_means_and_intervals_are_those_of_the_rankings() -> None:
    found = compared(everywhere(MIDDLE), {**everywhere(BEST), "q0": WORST})
    shipped = found.systems[2]
    assert found.queries == 30
    assert shipped.means["RR@10"] == pytest.approx((29 + 1 / 3) / 30)
    assert shipped.interval[0] < shipped.means["nDCG@10"] < shipped.interval[1] <= 1
    assert (shipped.comparison.wins, shipped.comparison.losses) == (29, 1)
    low, high = shipped.comparison.interval
    assert low < shipped.comparison.difference < high


def test_a_query_that_one_system_retrieved_nothing_for_still_counts() -> None:
    found = compared(everywhere(MIDDLE), {query_id: BEST for query_id in QUERIES if query_id != "q0"})
    assert found.queries == 30
    assert found.systems[2].means["RR@10"] == pytest.approx(29 / 30)


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        (["WIN", "WIN"], "WIN"),
        (["WIN", "TIE"], "TIE"),
        (["TIE"], "TIE"),
        (["WIN", "REGRESSION"], "REGRESSION"),
        (["REGRESSION", "TIE", "WIN"], "REGRESSION"),
    ],
)
def test_one_regression_is_a_regression_and_only_wins_are_a_win(verdicts: list, overall: str) -> None:
    split = compared(everywhere(MIDDLE), everywhere(MIDDLE))
    assert overall_verdict([replace(split, verdict=verdict) for verdict in verdicts]) == overall

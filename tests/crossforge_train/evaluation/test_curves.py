"""How long a query takes, on a made-up clock."""

from types import SimpleNamespace

import pytest

from crossforge_train.evaluation import curves
from crossforge_train.evaluation.curves import median_milliseconds


@pytest.mark.parametrize(("seconds", "asked"), [(0.5, 10), (2.5, 9), (100, 3)])
def test_the_median_is_over_all_queries_or_what_twenty_seconds_are_enough_for(
    monkeypatch: pytest.MonkeyPatch, seconds: float, asked: int
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(curves, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    seen: list[str] = []

    def answer(query: str) -> None:
        seen.append(query)
        clock.now += seconds

    queries = [f"query {number}" for number in range(10)]
    assert median_milliseconds(answer, queries) == pytest.approx(1000 * seconds)
    assert seen == ["query 0", *queries[:asked]]  # the first warms up


def test_two_slow_queries_are_both_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(curves, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    took = iter([1.0, 30.0, 50.0])

    def answer(query: str) -> None:
        clock.now += next(took)

    assert median_milliseconds(answer, ["one", "two"]) == pytest.approx(40_000)

"""Learning curves: what is fitted to known ones, how wide the intervals are, and when nothing is said."""

from collections.abc import Sequence

import numpy as np
import pytest
from markupsafe import escape

from crossforge_train.evaluation.dev_values import DevValues
from crossforge_train.evaluation.systems import FIRST_STAGE, RERANKER, SHIPPED
from crossforge_train.learning_curve.fitting import SETTLED, UNSETTLED, fit_curve
from crossforge_train.learning_curve.outcome import LearningCurve, Training, make_learning_curve
from crossforge_train.learning_curve.page import page
from crossforge_train.learning_curve.words import (
    curve_lines,
    failures,
    forecast_rows,
    judges_line,
    points_rows,
    summary_line,
)

AMOUNTS = (40, 80, 160, 320)


def measured(
    limit: float, fall: float, rate: float, *, dev: int = 200, noise: float = 0.0, seed: int = 0
) -> np.ndarray:
    """Values by training and dev query around a known curve; queries differ, and alike for all trainings."""
    draw = np.random.default_rng(seed)
    difficulty = draw.normal(0, 0.2, dev)
    curve = [limit - fall * amount**-rate for amount in AMOUNTS]
    return np.array([value + difficulty + draw.normal(0, noise, dev) for value in curve])


def gain(limit: float, fall: float, rate: float, more: int) -> float:
    return fall * (AMOUNTS[-1] ** -rate - (AMOUNTS[-1] + more) ** -rate)


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_points_on_a_curve_settle_it(rate: float) -> None:
    curve = fit_curve(AMOUNTS, measured(0.7, 0.8, rate), seed=1)
    assert curve.form == SETTLED
    for more in (100, 300, 900):
        low, middle, high = curve.gain(320, more)
        assert low - 1e-6 <= gain(0.7, 0.8, rate, more) <= high + 1e-6
        assert middle == pytest.approx(gain(0.7, 0.8, rate, more), abs=2e-4)


def test_points_that_scatter_leave_the_exponent_open_and_widen_the_intervals() -> None:
    clean, noisy = (fit_curve(AMOUNTS, measured(0.7, 0.8, 0.5, noise=noise), seed=1) for noise in (0.0, 0.15))
    assert (clean.form, noisy.form) == (SETTLED, UNSETTLED)
    assert noisy.rates.min() < 0.2 and noisy.rates.max() > 0.9

    def width(more: int) -> float:
        low, _, high = noisy.gain(320, more)
        return high - low

    assert width(100) > 0.002
    assert width(900) > 2 * width(100), "what lies farther off is known less"


def test_intervals_of_known_curves_hold_what_more_labels_bring() -> None:
    held = 0
    for seed in range(30):
        rate = (0.1, 0.3, 0.5, 0.8, 1.0)[seed % 5]
        fall = 0.06 / (40**-rate - 320**-rate)
        curve = fit_curve(AMOUNTS, measured(0.7, fall, rate, noise=0.12, seed=seed), seed=seed)
        low, _, high = curve.gain(320, 640)
        held += low <= gain(0.7, fall, rate, 640) <= high
    assert held >= 27


def test_a_curve_never_falls() -> None:
    curve = fit_curve(AMOUNTS, measured(0.5, -0.8, 0.5, noise=0.1), seed=1)
    low, middle, high = curve.gain(320, 300)
    assert low == middle == 0
    assert high < 0.005, "from resamples on which the points happen to rise"


def trainings(values: np.ndarray, amounts: Sequence[int] = AMOUNTS) -> list[Training]:
    shares = ("1/8", "1/4", "1/2", "1")
    asked = [f"q{n}" for n in range(values.shape[1])]

    def one(row: np.ndarray) -> DevValues:
        by_query = dict(zip(asked, row.tolist(), strict=True))
        level = dict.fromkeys(asked, 0.4)
        return DevValues("nDCG@10", 20, 0.25, "BM25", {FIRST_STAGE: level, "BM25": level, RERANKER: by_query,
                                                       SHIPPED: by_query})  # fmt: skip

    return [Training(*found) for found in zip(shares, amounts, map(one, values), strict=True)]


JUDGES = {"train": {"first stage and <b>": 300, "pseudo-queries": 100}, "dev": {"people": 40}}


def learned(found: list[Training]) -> LearningCurve:
    return make_learning_curve("mine", "toy", found, 1, "page.html", JUDGES)


def test_it_is_said_who_judged() -> None:
    found = learned(trainings(measured(0.7, 0.8, 0.5)))
    assert judges_line(found) == (
        "Judged by first stage and <b> (300) and pseudo-queries (100) for train; people for dev; the forecast assumes "
        "that further labels come from the same source as those of train"
    )
    assert escape(judges_line(found)) in page(found)


def test_it_is_said_what_the_next_labels_bring_and_where_that_cannot_be_said() -> None:
    found = learned(trainings(measured(0.7, 0.8, 0.5)))
    shipped = found.curves[0]
    assert (shipped.system, shipped.rises) == (SHIPPED, True)
    assert [one.gain is not None for one in shipped.forecasts] == [True, True, False]
    first = shipped.forecasts[0]
    assert first.interval is not None
    assert first.interval[0] - 1e-6 <= gain(0.7, 0.8, 0.5, 100) <= first.interval[1] + 1e-6
    line = curve_lines(found)[0]
    assert line.startswith("as shipped: 100 more labelled queries are expected to bring +0.00")
    assert line.endswith(
        "what 1,000 more would bring cannot be said: there would be 4.1 times as many as now, and the curve is "
        "trusted up to 4 times"
    )
    assert forecast_rows(found)[2] == ["1,000", "cannot be said", "cannot be said"]
    assert points_rows(found)[0][:4] == ["1/8", "40", "0.400", "0.400"]
    assert summary_line(found) == (
        f"With all 320 labelled queries, nDCG@10 on 200 dev queries is {found.last[SHIPPED]:.3f} as shipped and "
        f"{found.last[RERANKER]:.3f} for the reranker alone; the first stage has 0.400, the best free alternative "
        "(BM25) 0.400"
    )


def test_labels_that_are_not_shown_to_help_are_said_to_be() -> None:
    found = learned(trainings(measured(0.6, 0.0, 0.5, noise=0.2)))
    assert not found.curves[0].rises
    assert "; but that labels help is not shown: from 40 to 320 of them it changed by " in curve_lines(found)[0]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (trainings(measured(0.7, 0.8, 0.5, dev=19)), "dev has 19 queries, and a curve needs 20; judge more"),
        (trainings(measured(0.5, -0.8, 0.5)), "more labels have made it worse so far"),
        (
            [Training(f"1/{n}", n, reason="it ranks nothing") for n in (8, 4)]
            + trainings(measured(0.7, 0.8, 0.5))[2:],
            "2 trainings are no curve; at least 3 have to succeed",
        ),
    ],
)  # fmt: skip
def test_where_no_curve_can_be_fitted_it_says_why(found: list[Training], why: str) -> None:
    curve = learned(found)
    assert all(line.partition(": ")[2].startswith("what more labels would bring cannot be said: " + why)
               for line in curve_lines(curve))  # fmt: skip
    assert curve.curves[0].form is None
    assert {one.gain for one in curve.curves[0].forecasts} == {None}


def test_a_training_that_failed_is_left_out_and_told() -> None:
    found = trainings(measured(0.7, 0.8, 0.5))
    curve = learned([Training("1/8", 40, reason="it ranks nothing"), *found[1:]])
    assert list(curve.curves[0].queries) == [80, 160, 320]
    assert curve.curves[0].form == UNSETTLED, "three points settle no exponent"
    assert failures(curve) == ["the training on 1/8 (40 queries) failed: it ranks nothing"]
    assert len(points_rows(curve)) == 3

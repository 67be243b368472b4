"""When a run ends early, and above all when it does not: made-up logs."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossforge.errors import InputError
from crossforge_train.training.stopping import Patience, StopIfStuck

STEPS = 100
CHANCE, FIRST_STAGE = 0.2, 0.6


def dev(*values: float) -> list[dict[str, float]]:
    """Measurements of which the fused ones count: alone, the model gets better all the time."""
    return [{"step": step, "eval_dev_metric": step / 100, "eval_dev_fused": value} for step, value in enumerate(values)]


@pytest.mark.parametrize(
    ("patience", "values", "over"),
    [
        (1, [], False),
        (1, [0.5], False),
        (1, [0.5, 0.6], False),
        (1, [0.5, 0.5], True),
        (2, [0.5, 0.4], False),
        (2, [0.5, 0.4, 0.5], True),
        (2, [0.5, 0.4, 0.6, 0.5], False),
        (None, [0.5] * 50, False),
    ],
)
def test_patience_is_over_after_so_many_measurements_without_a_gain(
    patience: int | None, values: list[float], over: bool
) -> None:
    assert Patience(patience).is_over(dev(*values)) is over


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 5))
def test_patience_never_ends_a_run_at_its_best(values: list[float], patience: int) -> None:
    best_so_far = max(values[:-1], default=-1.0)
    assert not (values[-1] > best_so_far and Patience(patience).is_over(dev(*values)))


def is_stopped(losses: list[float], measured: list[float], logged_every: int = 2, steps: int = STEPS) -> bool:
    """Whether a run with this curve is stopped anywhere; dev is measured at equal distances."""
    callback = StopIfStuck(CHANCE, FIRST_STAGE)
    log: list[dict[str, Any]] = []
    distance = steps // max(1, len(measured))
    for step in range(1, steps + 1):
        if step % logged_every == 0:
            log.append({"step": step, "loss": losses[step - 1]})
            try:
                callback.on_log(None, SimpleNamespace(log_history=log, global_step=step, max_steps=steps), None)
            except InputError as error:
                assert "\n" not in str(error)
                return True
        if step % distance == 0 and step // distance <= len(measured):
            log.append({"step": step, "eval_dev_metric": measured[step // distance - 1]})
    return False


def noisy(level: float, noise: float, seed: int, fall: float = 0.0) -> list[float]:
    draw = random.Random(seed)
    return [level - fall * step / STEPS + draw.gauss(0, noise) for step in range(STEPS)]


@pytest.mark.parametrize("seed", range(5))
def test_a_flat_loss_with_an_order_like_chance_is_stopped(seed: int) -> None:
    assert is_stopped(noisy(1.8, 0.01, seed), [0.2, 0.21, 0.19, 0.2])


@pytest.mark.parametrize("seed", range(20))
def test_a_falling_loss_is_not_stopped_however_noisy(seed: int) -> None:
    assert not is_stopped(noisy(1.8, 0.1, seed, fall=1.0), [0.2, 0.25, 0.3, 0.35])


@pytest.mark.parametrize("seed", range(20))
def test_a_slowly_falling_loss_is_not_stopped_where_noise_may_hide_it(seed: int) -> None:
    assert not is_stopped(noisy(1.8, 0.3, seed, fall=0.3), [0.2, 0.22, 0.25, 0.27])


@pytest.mark.parametrize("seed", range(20))
def test_a_noisy_flat_loss_is_not_stopped_while_dev_is_on_its_way(seed: int) -> None:
    assert not is_stopped(noisy(1.8, 0.4, seed), [0.3, 0.45, 0.5, 0.5])


@pytest.mark.parametrize("seed", range(20))
def test_a_warm_start_with_little_left_to_learn_is_not_stopped(seed: int) -> None:
    assert not is_stopped(noisy(0.05, 0.03, seed), [0.58, 0.57, 0.58, 0.58])


def test_nothing_is_said_before_dev_was_measured_or_of_a_handful_of_steps() -> None:
    flat = [1.8] * STEPS
    assert not is_stopped(flat, [])
    assert not is_stopped(flat[:20], [0.2, 0.2], steps=20)

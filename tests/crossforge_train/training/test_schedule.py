"""A training that is slower than planned ends in time: made-up steps, and a real training on a made-up clock."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import Recorder
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_linear_schedule_with_warmup

from crossforge_train.training.schedule import KeepToTime, LinearSchedule

PLANNED = 100


@given(st.integers(0, 60), st.integers(1, 200), st.integers(0, 250))
def test_the_schedule_is_the_trainers_own(warmup: int, steps: int, step: int) -> None:
    theirs = get_linear_schedule_with_warmup(optimizer(), warmup, steps)
    assert LinearSchedule(warmup, steps)(step) == theirs.lr_lambdas[0](step)


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)


def test_a_schedule_that_was_shortened_is_kept_with_a_checkpoint() -> None:
    schedule, read = LinearSchedule(2, 30), LinearSchedule(2, PLANNED)
    state = LambdaLR(optimizer(), schedule).state_dict()
    LambdaLR(optimizer(), read).load_state_dict(state)
    assert read == schedule


class Pacer:
    """Runs steps that take as many seconds as it is told, with `KeepToTime` and 1000 seconds of time."""

    def __init__(self, schedule: LinearSchedule | None = None) -> None:
        self.screen = Recorder()
        self.schedule = schedule or LinearSchedule(10, PLANNED)
        self.progress: Any = SimpleNamespace(seconds=0.0, pace=lambda: self.progress.seconds / self.state.global_step)
        self.state: Any = SimpleNamespace(global_step=0, max_steps=PLANNED)
        # Here a pace is seconds per step, and a step is of two groups.
        self.callback = KeepToTime(
            lambda seconds: 2 * 1000 / seconds,  # type: ignore[operator]
            2, self.schedule, self.progress, self.screen,
        )  # fmt: skip

    def run(self, steps: int, seconds: float) -> None:
        for _ in range(steps):
            self.state.global_step += 1
            self.progress.seconds += seconds
            self.callback.on_step_end(SimpleNamespace(logging_steps=2), self.state, None)
            assert self.state.global_step < self.state.max_steps or self.state.max_steps == PLANNED


def test_a_training_that_keeps_its_pace_takes_all_steps() -> None:
    pacer = Pacer()
    pacer.run(PLANNED, 9.9)
    assert pacer.state.max_steps == pacer.schedule.steps == PLANNED
    assert not pacer.screen.notes


def test_a_slower_one_takes_the_steps_that_are_in_time_and_says_so_once() -> None:
    pacer = Pacer()
    pacer.run(20, 9)
    assert pacer.state.max_steps == PLANNED
    pacer.run(10, 42)  # 600 seconds for 30 steps: 50 in all
    assert pacer.state.max_steps == pacer.schedule.steps == pytest.approx(50, abs=6)
    pacer.run(2, 20)
    assert len(pacer.screen.notes) == 1
    assert "slower than planned" in pacer.screen.notes[0]


def test_one_that_catches_up_takes_more_again() -> None:
    pacer = Pacer()
    pacer.run(4, 40)
    assert pacer.state.max_steps == 25
    pacer.run(18, 5)
    assert 60 < pacer.state.max_steps <= PLANNED
    pacer.run(20, 5)
    assert pacer.state.max_steps == pacer.schedule.steps == PLANNED


def test_one_whose_time_is_over_takes_one_more_step() -> None:
    pacer = Pacer()
    pacer.run(40, 9)
    pacer.progress.seconds = 5000
    pacer.state.global_step += 2
    pacer.callback.on_step_end(SimpleNamespace(logging_steps=2), pacer.state, None)
    assert pacer.state.max_steps == 43


def test_less_than_a_minute_says_nothing() -> None:
    pacer = Pacer()
    pacer.run(2, 29)
    assert pacer.state.max_steps == PLANNED
    pacer.run(2, 29)
    assert pacer.state.max_steps < PLANNED


def test_one_that_resumes_goes_on_with_the_steps_of_its_checkpoint() -> None:
    pacer = Pacer()
    pacer.schedule.steps = 40  # as the trainer reads it from the checkpoint, after the callback was made
    pacer.callback.on_train_begin(None, pacer.state, None)
    assert pacer.state.max_steps == 40
    pacer.state.global_step, pacer.progress.seconds = 20, 100
    pacer.run(2, 5)
    assert pacer.state.max_steps == PLANNED

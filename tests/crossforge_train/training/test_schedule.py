"""A training that is slower than planned ends in time: made-up steps on a made-up clock."""

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
from crossforge_train.training.timing import Pace

PLANNED = 100


@given(st.integers(0, 60), st.integers(1, 200), st.integers(0, 250))
def test_the_schedule_is_the_trainers_own(warmup: int, steps: int, step: int) -> None:
    theirs = get_linear_schedule_with_warmup(optimizer(), warmup, steps)
    assert LinearSchedule(warmup, steps)(step) == theirs.lr_lambdas[0](step)


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)


def test_a_schedule_that_was_shortened_is_kept_with_a_checkpoint() -> None:
    schedule, read = LinearSchedule(2, 30, seconds=40), LinearSchedule(2, PLANNED)
    state = LambdaLR(optimizer(), schedule).state_dict()
    LambdaLR(optimizer(), read).load_state_dict(state)
    assert read == schedule


class Pacer:
    """Runs steps that take as many seconds as it is told, with `KeepToTime` and 1000 seconds of time."""

    def __init__(self, schedule: LinearSchedule, done: int = 0) -> None:
        self.screen = Recorder()
        self.schedule = LinearSchedule(schedule.warmup, PLANNED)
        self.progress: Any = SimpleNamespace(seconds=0.0, pace=self._pace)
        self.state: Any = SimpleNamespace(global_step=done, max_steps=PLANNED)
        self._done = done
        self.callback = KeepToTime(_step_minutes, 2, self.schedule, self.progress, self.screen)
        vars(self.schedule).update(vars(schedule))  # as the trainer reads it from the checkpoint
        self.callback.on_train_begin(None, self.state, None)

    def _pace(self) -> Pace:
        return Pace(2 * (self.state.global_step - self._done) * 60 / self.progress.seconds, 1)

    def run(self, steps: int, seconds: float) -> None:
        """Take at most so many steps, of so many seconds each."""
        for _ in range(steps):
            if self.state.global_step >= self.state.max_steps:
                return
            self.state.global_step += 1
            self.progress.seconds += seconds
            self.callback.on_step_end(SimpleNamespace(logging_steps=2), self.state, None)
            assert self.schedule.steps == self.state.max_steps <= PLANNED


def _step_minutes(pace: Pace) -> float:
    return 1000 / 60


def fresh() -> Pacer:
    return Pacer(LinearSchedule(10, PLANNED))


def test_a_training_that_keeps_its_pace_takes_all_steps() -> None:
    pacer = fresh()
    pacer.run(PLANNED, 10.4)
    assert pacer.state.global_step == PLANNED
    assert not pacer.screen.notes


def test_a_slower_one_takes_the_steps_that_are_in_time_and_says_so_once() -> None:
    pacer = fresh()
    pacer.run(20, 9)
    assert pacer.state.max_steps == PLANNED
    pacer.run(PLANNED, 42)
    assert pacer.state.global_step < 45
    assert pacer.progress.seconds == pytest.approx(1000, abs=3 * 42)
    assert len(pacer.screen.notes) == 1
    assert "slower than planned" in pacer.screen.notes[0]


@given(st.integers(0, 90), st.floats(1, 100))
def test_the_time_is_kept_wherever_training_becomes_slower(step: int, seconds: float) -> None:
    pacer = fresh()
    pacer.run(step, 9)
    pacer.run(PLANNED, seconds)
    # A step may be under way, the pace is looked at after every other one, and one in twenty may be out of time.
    assert pacer.progress.seconds <= max(1000 * 1.06, 9 * step) + 4 * seconds
    assert pacer.state.global_step == PLANNED or pacer.progress.seconds > 900


def test_one_that_is_shortened_below_its_warm_up_still_ends_at_a_low_rate() -> None:
    pacer = Pacer(LinearSchedule(60, PLANNED))
    pacer.run(PLANNED, 40)
    assert pacer.schedule.steps == 25
    assert pacer.schedule.warmup == 15
    assert max(map(pacer.schedule, range(25))) == 1
    assert pacer.schedule(24) == pytest.approx(0.1)


def test_one_that_catches_up_takes_more_again() -> None:
    pacer = fresh()
    pacer.run(4, 40)
    assert pacer.state.max_steps == 25
    pacer.run(18, 5)
    assert 60 < pacer.state.max_steps <= PLANNED
    pacer.run(PLANNED, 5)
    assert pacer.state.global_step == PLANNED


def test_nothing_changes_after_the_last_step() -> None:
    pacer = fresh()
    pacer.run(PLANNED, 50)
    last = pacer.state.global_step
    pacer.progress.seconds = 100  # as if it had been fast
    pacer.callback.on_step_end(SimpleNamespace(logging_steps=1), pacer.state, None)
    assert pacer.state.max_steps == pacer.schedule.steps == last


def test_less_than_a_minute_says_nothing() -> None:
    pacer = fresh()
    pacer.run(2, 29)
    assert pacer.state.max_steps == PLANNED
    pacer.run(2, 29)
    assert pacer.state.max_steps < PLANNED


def test_one_that_resumes_goes_on_with_the_steps_and_the_time_of_its_checkpoint() -> None:
    slow_before = Pacer(LinearSchedule(10, 35, seconds=900), done=20)
    assert slow_before.state.max_steps == 35
    slow_before.run(PLANNED, 5)  # a hundred seconds are left
    assert slow_before.progress.seconds == pytest.approx(100, abs=10)
    assert slow_before.state.global_step == pytest.approx(40, abs=2)
    fast_before = Pacer(LinearSchedule(10, PLANNED, seconds=400), done=80)
    fast_before.run(PLANNED, 29)
    assert fast_before.state.global_step == PLANNED

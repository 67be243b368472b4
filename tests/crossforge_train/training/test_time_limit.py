"""What fits into the minutes of a training."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossforge.loading import pair_tokenizer
from crossforge_train.config.training import TrainingConfig
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.training.collator import batch_collator
from crossforge_train.training.model import load_model
from crossforge_train.training.time_limit import TimeLimit
from crossforge_train.training.timing import Pace, measure_pace, pairs_per_query


def within(minutes: float | None, groups: float = 1, dev_queries: float = 1) -> TimeLimit:
    return TimeLimit(minutes, lambda: Pace(groups, dev_queries))


def _not_asked() -> Pace:
    raise AssertionError("nothing is timed without a limit")


def test_without_a_limit_nothing_is_timed() -> None:
    free = TimeLimit(None, _not_asked)
    assert free.evaluations(500, 3)[0] == 4
    assert free.dev_queries(7)[0] == 100
    assert free.groups(700) == float("inf")


def test_with_enough_time_dev_is_measured_four_times_on_100_queries() -> None:
    limit = within(30, groups=1000, dev_queries=1000)
    assert limit.evaluations(500, 3)[0] == 4
    assert limit.dev_queries(7)[0] == 100
    assert limit.groups(700) == pytest.approx((30 - 0.7) * 1000)


def test_a_quarter_of_the_time_is_for_dev() -> None:
    limit = within(30, groups=40, dev_queries=40)  # 300 dev queries in a quarter of it
    assert limit.evaluations(500, 3) == (2, "because 4 would take more than a quarter of training.minutes: 30")
    assert limit.evaluations(40, 3)[0] == 4  # a small split is no burden
    assert limit.dev_queries(5) == (60, "for a quarter of training.minutes: 30")
    assert limit.groups(5 * 60) == pytest.approx(0.75 * 30 * 40)


def test_trial_steps_take_from_the_time() -> None:
    limit = TimeLimit(30, lambda: Pace(40, 1000), tried=160)
    assert limit.groups(0) == pytest.approx((30 - 4) * 40)
    assert TimeLimit(30, lambda: Pace(1, 1000), tried=160).groups(0) == 15


def test_what_came_before_takes_from_the_time() -> None:
    assert TimeLimit(30, lambda: Pace(40, 1000), tried=160, spent=2.5).groups(0) == pytest.approx((27.5 - 4) * 40)
    assert TimeLimit(30, lambda: Pace(40, 1000), spent=40).groups(0) == 15 * 40


def test_another_pace_changes_what_fits() -> None:
    limit = TimeLimit(30, lambda: Pace(40, 1000), tried=160, spent=2.5)
    assert limit.step_minutes(Pace(40, 1000), 100) * 40 == limit.groups(100)
    assert limit.step_minutes(Pace(20, 500), 100) * 20 == pytest.approx((27.5 - 8 - 0.2) * 20)


def test_of_a_long_candidate_several_passages_are_read() -> None:
    assert pairs_per_query(30, 1, 0.8) == 30
    assert pairs_per_query(30, 3, 0) == 30
    assert pairs_per_query(30, 3, 0.5) == 60
    assert pairs_per_query(30, 3, 1) == 90


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0.1, 600), st.integers(1, 500), st.integers(0, 5))
def test_half_of_the_time_is_for_steps_whatever_dev_takes(
    groups: float, dev: float, minutes: float, queries: int, merges: int
) -> None:
    limit = within(minutes, groups, dev)
    measurements = merges + limit.evaluations(queries, merges)[0]
    drawn = limit.dev_queries(measurements)[0]
    assert 30 <= drawn <= 100
    found = limit.groups(measurements * min(drawn, queries))
    assert minutes * groups / 2 * 0.999 <= found <= minutes * groups
    if drawn > 30:
        assert measurements * min(drawn, queries) / dev <= minutes / 4 * 1.001


def test_a_step_is_timed_and_leaves_the_model_as_it_was(tiny_encoder: Path) -> None:
    training = TrainingConfig()
    model = load_model(tiny_encoder, training.model_copy(update={"max_length": 48, "lora": None}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    rows = [{"query": "bread", "documents": ["bread and oven", "a boat"], "label": [1, 0]}] * 8
    loss = GroupLoss(model, training)
    batch = batch_collator(pair_tokenizer(tiny_encoder, 48), training, cpu=True)(rows)
    pace = measure_pace(loss, [batch, batch], 30, bf16=False)
    # Eight groups are 16 pairs; a forward pass is a third of a step, and a dev query is 30 pairs.
    assert pace.dev_queries == pytest.approx(pace.groups * 2 * 3 / 30)
    assert pace.groups > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)

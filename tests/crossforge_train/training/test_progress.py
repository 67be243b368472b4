"""What a training run shows of itself: a made-up run, steps and all."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Recorder

from crossforge_train.config.training import TrainingConfig
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.training import progress
from crossforge_train.training.progress import TrainingProgress


class Model(torch.nn.Module):
    """Scores a pair by its first token."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"scores": self.weight * features["input_ids"][:, :1]}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: found.now)
    return found


def take_step(loss: GroupLoss, pairs: int) -> None:
    """Train on one group of so many pairs, in two micro-batches."""
    batches = [{"input_ids": torch.zeros(size, 3)} for size in (1, pairs - 1)]
    shape = torch.zeros(1, pairs)
    loss([batches, torch.arange(pairs), shape + 1, shape], shape).backward()


@pytest.mark.parametrize("mini_batch", [None, 128])
def test_the_line_names_the_measure_and_counts_pairs_truly(clock: SimpleNamespace, mini_batch: int | None) -> None:
    screen, loss = Recorder(), GroupLoss(Model(), TrainingConfig(mini_batch=mini_batch))
    evaluator: Any = SimpleNamespace(metric="nDCG@10", first_stage=0.48)
    state = SimpleNamespace(global_step=10, max_steps=30)
    training: Any = SimpleNamespace(groups_per_batch=4)
    with TrainingProgress(screen, evaluator, loss, training, pairs_per_query=30) as shown:
        shown.on_train_begin(None, state, None)
        for pairs in (7, 3):  # groups differ in size, so micro-batches do
            take_step(loss, pairs)
            clock.now += 2
            state.global_step += 1
            shown.on_log(None, state, None, {"loss": 1.5})
            shown.on_step_end(None, state, None)
        clock.now += 1000  # measuring dev is not training
        shown.on_log(None, state, None, {"eval_dev_metric": 0.52, "eval_dev_fused": 0.56})
        shown.on_evaluate(None, state, None)
    take_step(loss, 100)  # not counted any more
    assert screen.bars == [("fine-tuning from step 10", 20)]
    measured = "loss 1.500, dev nDCG@10 0.520, 0.560 fused with the first stage's 0.480, 2 pairs/s"  # a log keeps this
    assert [text for _, text in screen.advances] == ["loss 1.500, 4 pairs/s", "loss 1.500, 2 pairs/s", measured]
    assert [done for done, _ in screen.advances] == [1, 1, 0]
    assert shown.pairs_per_second == pytest.approx(10 / 4)
    # Two steps of four groups, ten pairs, in four seconds; a forward pass is a third of a step.
    assert shown.pace().groups == pytest.approx(2 * 4 * 15)
    assert shown.pace().dev_queries == pytest.approx(10 * 15 * 3 / 30)
    assert screen.notes == [f"step 12 of 30: {measured}, 36 s left"]

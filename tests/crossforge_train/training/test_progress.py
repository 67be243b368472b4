"""What a training run shows of itself: a made-up run, steps and all."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Recorder

from crossforge_train.training import progress
from crossforge_train.training.progress import TrainingProgress


class Model(torch.nn.Module):
    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        return features["input_ids"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: found.now)
    return found


def batch(pairs: int) -> dict[str, torch.Tensor]:
    return {"input_ids": torch.zeros(pairs, 3)}


def test_the_line_names_the_measure_and_counts_pairs_truly(clock: SimpleNamespace) -> None:
    screen, model = Recorder(), Model()
    evaluator: Any = SimpleNamespace(metric="nDCG@10", first_stage=0.48)
    state = SimpleNamespace(global_step=10, max_steps=30)
    training: Any = SimpleNamespace(groups_per_batch=4, dev_depth=30)
    with TrainingProgress(screen, evaluator, model, training) as shown:
        shown.on_train_begin(None, state, None)
        for pairs in (7, 3):  # groups differ in size, so micro-batches do
            with torch.no_grad():
                model(batch(pairs))  # a loss that caches gradients reads everything twice
            model(batch(pairs))
            clock.now += 2
            state.global_step += 1
            shown.on_log(None, state, None, {"loss": 1.5})
            shown.on_step_end(None, state, None)
        clock.now += 1000  # measuring dev is not training
        shown.on_log(None, state, None, {"eval_dev_metric": 0.52})
        shown.on_evaluate(None, state, None)
    model(batch(100))  # not counted any more
    assert screen.bars == [("fine-tuning from step 10", 20)]
    measured = "loss 1.500, dev nDCG@10 0.520 (first stage 0.480), 2 pairs/s"  # the last line is what a log keeps
    assert [text for _, text in screen.advances] == ["loss 1.500, 4 pairs/s", "loss 1.500, 2 pairs/s", measured]
    assert [done for done, _ in screen.advances] == [1, 1, 0]
    assert shown.pairs_per_second == pytest.approx(10 / 4)
    # Two steps of four groups, ten pairs, in four seconds; a forward pass is a third of a step.
    assert shown.pace().groups == pytest.approx(2 * 4 * 15)
    assert shown.pace().dev_queries == pytest.approx(10 * 15 * 3 / 30)
    assert screen.notes == ["step 12 of 30: loss 1.500, dev nDCG@10 0.520 (first stage 0.480), 2 pairs/s, 36 s left"]

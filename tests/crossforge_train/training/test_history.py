"""`history.json` as version 0.1 wrote it, and as it is written now."""

import json
from pathlib import Path

import pytest

from crossforge.errors import InputError
from crossforge_train.training.history import read_history, write_history

OF_VERSION_0_1 = {
    "training": {"start": "auto", "loss": "group_softmax", "distillation_weight": 1.0, "learning_rate": 0.002,
                 "head_learning_rate": 0.01, "epochs": 2.0, "groups_per_batch": 4, "max_length": 48,
                 "precision": "fp32", "evaluations": 3, "merge": [], "report_to": []},
    "first_stage_dev": 0.8543,
    "best_dev": 0.5058,
    "best_step": 6,
    "steps": 16,
    "precision": "fp32",
    "device": "cpu",
    "groups": 31,
    "cut_documents": {"training": 0.25, "dev": 0.5},
    "log": [
        {"loss": 1.5, "grad_norm": 0.71, "learning_rate": 0.0, "epoch": 0.125, "step": 1},
        {"eval_dev_metric": 0.5058, "epoch": 0.75, "step": 6},
    ],
}  # fmt: skip


def test_a_history_of_version_0_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text(json.dumps(OF_VERSION_0_1))
    found = read_history(tmp_path / "history.json")
    assert (found.first_stage_dev, found.best_dev, found.best_step, found.steps) == (0.8543, 0.5058, 6, 16)
    assert (found.groups, found.device, found.training.precision) == (31, "cpu", "fp32")
    assert (found.cut_in_training, found.cut_on_dev) == (0.25, 0.5)
    assert (found.losses(), found.dev_metrics()) == ([(1, 1.5)], [(6, 0.5058)])
    assert found.start_share == 0, "nothing was merged"
    assert found.best_fused is None
    assert found.chosen_by == 0.5058
    assert found.fused_dev_metrics() == []


def test_a_history_is_written_and_read_again(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({**OF_VERSION_0_1, "start_share": 0.25, "best_fused": 0.8617}))
    found = read_history(tmp_path / "old.json")
    write_history(tmp_path / "new.json", found)
    assert read_history(tmp_path / "new.json") == found
    assert found.start_share == 0.25
    assert found.chosen_by == 0.8617


def test_what_is_no_history_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text(json.dumps({**OF_VERSION_0_1, "training": {"loss": "none"}}))
    with pytest.raises(InputError, match=r"history\.json: not a training history; delete .* and train again$"):
        read_history(tmp_path / "history.json")

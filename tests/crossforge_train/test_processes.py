"""Two processes against one: gloo, on the CPU, with the real launcher."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import toy_config

from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train import processes
from crossforge_train.config.training import PickedTraining
from crossforge_train.training.arguments import arguments

PICKED = PickedTraining(
    precision="fp32",
    distillation_weight=0,
    learning_rate=1e-3,
    head_learning_rate=1e-3,
    epochs=1,
    max_length=64,
    groups_per_batch=4,
)


def launch(count: int, *arguments: object, quickly: bool = True) -> subprocess.CompletedProcess[str]:
    """`accelerate launch -m crossforge_train.finetune ARGUMENT ...`; one process needs no launcher."""
    several = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count), "--num_machines", "1",
               "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]  # fmt: skip
    command = [*(several if count > 1 else []), "-m", *(["quick_runs"] if quickly else []), "crossforge_train.finetune"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def config_in(folder: Path, collection: Path, base_model: Path) -> Path:
    folder.mkdir()
    # 28 groups fill seven batches, so that no process is left with a part of one.
    return toy_config(
        folder, collection, base_model, mining={"max_queries": 28},
        training={"epochs": 2, "head_learning_rate": "auto", "learning_rate": "auto", "max_length": "auto"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, toy_collection: Path, tiny_encoder: Path) -> dict[int, Any]:
    """For one and for two processes: what the command said, and the folder of the stage."""
    found = {}
    for count in (1, 2):
        config = config_in(tmp_path_factory.mktemp("processes") / "run", toy_collection, tiny_encoder)
        done = launch(count, config)
        assert done.returncode == 0, done.stderr
        found[count] = done, Path(yaml.safe_load(config.read_text())["runs"]) / "toy" / "finetune"
    return found


def curve(folder: Path, key: str) -> list[float]:
    return [entry[key] for entry in read_json(folder / "history.json")["log"] if key in entry]


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(runs: dict[int, Any]) -> None:
    one, two = (curve(runs[count][1], "loss") for count in (1, 2))
    assert len(one) == 14
    assert max(one) - min(one) > 0.01  # there is a curve to compare
    assert two == pytest.approx(one, abs=1e-4)


@pytest.mark.slow
def test_two_processes_agree_on_the_best_checkpoint(runs: dict[int, Any]) -> None:
    one, two = (read_json(runs[count][1] / "history.json") for count in (1, 2))
    assert curve(runs[2][1], "eval_dev_metric") == pytest.approx(curve(runs[1][1], "eval_dev_metric"), abs=1e-4)
    for key in ("best_step", "steps", "groups", "training"):
        assert one[key] == two[key], key


@pytest.mark.slow
def test_only_the_main_process_writes_and_speaks(runs: dict[int, Any]) -> None:
    for count in (1, 2):
        done, folder = runs[count]
        assert done.stderr.count("exporting to ONNX") == done.stderr.count("  retrieving …") == 1
        assert done.stdout.count("finetune:") == 1
        assert "Warning" not in done.stderr
        assert sorted(path.name for path in folder.iterdir()) == ["history.json", "model"]


@pytest.mark.slow
def test_a_finished_stage_is_skipped_by_both(runs: dict[int, Any]) -> None:
    done = launch(2, runs[2][1].parents[2] / "config.yaml", quickly=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is already done") == 3


@pytest.mark.slow
def test_two_processes_with_bounded_memory_give_the_loss_curve_of_one(
    runs: dict[int, Any], tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    """The second forward pass of a micro-batch runs while gradients are exchanged."""
    config = config_in(tmp_path / "run", toy_collection, tiny_encoder)
    done = launch(2, config, "--set", "training.mini_batch=128", "--set", "training.freeze_embeddings=true")
    assert done.returncode == 0, done.stderr
    folder = Path(yaml.safe_load(config.read_text())["runs"]) / "toy" / "finetune"
    assert read_json(folder / "history.json")["training"]["mini_batch"] == 128
    assert curve(folder, "loss") == pytest.approx(curve(runs[1][1], "loss"), rel=0.02)


@pytest.mark.slow
def test_an_error_of_the_main_process_ends_both(runs: dict[int, Any], tmp_path: Path) -> None:
    finished = runs[1][1].parents[2]
    config = shutil.copytree(finished, tmp_path / "run") / "config.yaml"  # what comes before is done
    config.write_text(config.read_text().replace(str(finished), str(config.parent)))
    done = launch(2, config, "--set", "training.groups_per_batch=3")
    assert done.returncode != 0
    assert "training.groups_per_batch: 3 groups cannot be split equally among 2 processes" in done.stderr


def test_groups_per_batch_is_what_all_processes_take_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "count", lambda: 2)
    found = arguments(PICKED, "toy", 0, tmp_path, 40, cpu=True)
    assert found.per_device_train_batch_size == 2
    assert found.max_steps == 10
    with pytest.raises(InputError, match="3 groups do not fill a batch of 4: train with one process"):
        arguments(PICKED, "toy", 0, tmp_path, 3, cpu=True)


def test_one_process_trains_on_one_of_several_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    found = arguments(PICKED, "toy", 0, tmp_path, 40, cpu=False)
    assert found.n_gpu == 1, "more, and the trainer would copy the model to each of them"
    assert found.train_batch_size == PICKED.groups_per_batch
    assert arguments(PICKED, "toy", 0, tmp_path, 40, cpu=True).n_gpu == 0


def test_one_process_does_the_work_of_the_main_one() -> None:
    assert processes.from_main(lambda: 7) == 7
    with pytest.raises(InputError, match="as it is"):
        processes.from_main(lambda: _fail())


def _fail() -> None:
    raise InputError("as it is")

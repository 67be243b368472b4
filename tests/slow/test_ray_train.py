"""examples/ray_train.py on a local Ray: it trains as one process does, and goes on where a worker is lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from quick_runs import quick_runs
from support import Recorder, toy_config

from crossforge.files import read_json
from crossforge_train.config.loading import load_config
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytest.importorskip("ray", reason='Ray is not installed: pip install "ray[train]"')
pytest.importorskip("ray.train.torch", reason='Ray Train is not installed: pip install "ray[train]"')

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_train.py"
# Kills the first attempt's second process once there is a checkpoint.
LOSE_ONE = """
    import signal, threading, time
    def lose_one():
        while not list(Path({checkpoints!r}).rglob("trainer_state.json")):
            time.sleep(0.01)
        Path({trace!r}).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ["RANK"] == "1" and not Path({trace!r}).exists():
        threading.Thread(target=lose_one, daemon=True).start()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, toy_collection: Path, tiny_encoder: Path) -> Path:
    """A run that is mined; 28 groups fill seven batches, so that no process is left with a part of one."""
    return toy_config(
        tmp_path_factory.mktemp("ray-train"), toy_collection, tiny_encoder, mining={"max_queries": 28},
        training={"epochs": 4},
    )  # fmt: skip


def curve(config: Path) -> list[float]:
    folder = Path(yaml.safe_load(config.read_text())["runs"]) / "toy" / "finetune"
    return [entry["loss"] for entry in read_json(folder / "history.json")["log"] if "loss" in entry]


def started(example: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The example as a command that is given in a folder."""
    return subprocess.run(
        [sys.executable, example, "--address", "local", *arguments], cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def copied(config: Path, folder: Path) -> Path:
    """The config and its run in another folder."""
    found = shutil.copytree(config.parent, folder) / config.name
    found.write_text(found.read_text().replace(str(config.parent), str(folder)))
    return found


def test_it_is_the_training_of_one_process_and_outlives_a_worker(config: Path, tmp_path: Path) -> None:
    read = load_config(config)
    run_stages(read, stages_until(read, "mine"), Recorder())
    there = copied(config, tmp_path / "run")
    with quick_runs():
        run_stages(read, stages_until(read, "finetune"), Recorder())
    example, trace = tmp_path / "ray_train.py", tmp_path / "lost"
    line = '    os.chdir(job["folder"])'
    assert EXAMPLE.read_text().count(line) == 1
    lost = LOSE_ONE.format(checkpoints=str(there.parent), trace=str(trace))
    example.write_text(EXAMPLE.read_text().replace(line, lost + line))
    done = started(example, there.name, folder=there.parent)
    assert done.returncode == 0, done.stderr
    assert "exporting to ONNX" in done.stdout + done.stderr
    assert trace.exists()
    assert curve(there) == pytest.approx(curve(config), abs=1e-3)


def test_what_is_wrong_is_told_once_and_in_one_line(config: Path) -> None:
    done = started(EXAMPLE, config.name, "--set", "training.groups_per_batch=3", folder=config.parent)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == ["error: training.groups_per_batch: 3 groups cannot be split equally among 2 processes"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.yaml"], "none.yaml: "),
        (["config.yaml", "--workers", "1000"], "--workers 1000: they take 1000 CPUs, and the cluster has "),
        (["config.yaml", "--gpu", "--workers", "99"], "--workers 99: they take 99 "),
        (["config.yaml", "--address", "nowhere"], "--address nowhere: Ray cannot connect ("),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(config: Path, arguments: list[str], told: str) -> None:
    done = started(EXAMPLE, *arguments, folder=config.parent)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ") and told in line]

"""`adapt` and `sweep`, killed again and again at moments spread over the run, end as if nothing had happened.

How a training goes on that is stopped by Ctrl-C is tested beside its stage and beside the sweep; here it is the signal
that nobody can catch, on the whole command.
"""

import json
import random
from pathlib import Path

import pytest
from apart import contents, done, killed_at
from support import toy_config

pytestmark = pytest.mark.slow

# What the command says of its progress, in this order; it is killed at some of these.
ADAPTING = [
    "collect", "mine", "exporting the bi", "embedding the documents", "retrieving", "embedding with the teacher",
    "finetune", "fine-tuning", "step 10 of", "exporting to ONNX", "evaluate", "reranking test", "package",
    "checking the package",
]  # fmt: skip
SETTINGS = [
    "collection.documents.dev=0.15", "collection.documents.test=0.3", "collection.documents.queries=120",
    "training.max_length=64", "training.precision=fp32", "training.groups_per_batch=4", "training.epochs=1",
    "training.learning_rate=2e-3", "training.head_learning_rate=1e-2", "training.merge=[]", "mining.negatives=3",
    "evaluation.permutations=1000", "evaluation.latency_queries=0", "package.allow_regression=true",
]  # fmt: skip
RATES = {"training.learning_rate": {"low": "1e-4", "high": "1e-2", "log": True}, "training.loss": ["mse", "list_net"]}


def some(moments: list[str], count: int, seed: int) -> list[str]:
    """So many of the moments, one from each part of the run."""
    draw, part = random.Random(seed), len(moments) / count
    return [draw.choice(moments[round(part * n) : round(part * (n + 1))]) for n in range(count)]


def test_adapt_ends_with_the_same_bytes(docs: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    def command(name: str) -> list[object]:
        recipe = Path(__file__).parents[2] / "configs" / "adapt.yaml"
        chosen = [part for value in SETTINGS for part in ("--set", value)]
        # Runs of one folder share what was embedded; each shall make its own.
        out = tmp_path / name / "run"
        return ["adapt", docs, "--base", tiny_encoder, "--out", out, "--config", recipe, *chosen]

    whole = done(*command("whole"))
    assert whole.returncode in (0, 2), whole.stderr  # 2: worse than an alternative, and packaged all the same
    for moment in some(ADAPTING, 5, seed=1):
        killed_at(moment, *command("killed"))
    last = done(*command("killed"))
    assert last.returncode == whole.returncode, last.stderr
    assert "is already done" in last.stderr
    expected, found = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert found.keys() == expected.keys()
    assert [name for name, content in found.items() if content != expected[name]] == []


def test_sweep_ends_with_the_same_trials(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    def command(name: str, *options: str) -> list[object]:
        (tmp_path / name).mkdir(exist_ok=True)
        space = {"space": RATES, "trials": 2}
        return ["sweep", toy_config(tmp_path / name, toy_collection, tiny_encoder, sweep=space), *options]

    whole = done(*command("whole", "--json"))
    assert whole.returncode == 0, whole.stderr
    for moment in ("mine", "step ", "exporting to ONNX", "finetune"):
        killed_at(moment, *command("killed"))
    found = done(*command("killed", "--json"))
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["trials"] == json.loads(whole.stdout)["trials"]
    models = [sorted((tmp_path / name).rglob("model.safetensors")) for name in ("whole", "killed")]
    assert len(models[0]) == 2
    assert [path.read_bytes() for path in models[0]] == [path.read_bytes() for path in models[1]]

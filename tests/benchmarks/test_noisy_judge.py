"""benchmarks/noisy_judge.py on a toy collection: the judge is as wrong as it is told to be; nothing is done twice."""

from __future__ import annotations

import importlib
import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.grading import Pair, prompt
from crossforge_train.labels.judge import Judge
from crossforge_train.reporting import SilentReporter

QUICK = (
    "mining.negatives=3", "mining.teacher=null", "training.distillation_weight=0",
    "training.epochs=1", "training.evaluations=1", "training.dev_queries=5", "training.max_length=48",
    "training.precision=fp32", "training.learning_rate=2e-3", "training.head_learning_rate=1e-2", "training.merge=[]",
    "evaluation.depth=10", "evaluation.depths=[5, 10]", "evaluation.permutations=1000",
)  # fmt: skip
PAIRS = [Pair(f"query {n}", f"text {n % 7}\n\nPassage: {n}") for n in range(2000)]


@pytest.fixture
def port() -> int:
    """A free port that no connection and no server draws by itself: it is bound much later, and more than once."""
    for number in random.Random().sample(range(20_000, 32_000), 100):
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", number))
            return number
    raise OSError("no port is free")


@pytest.fixture
def noisy_judge(script: Any) -> Any:
    return script("noisy_judge")


@pytest.fixture
def simulated(noisy_judge: Any) -> Any:
    relevant = {pair.query: {pair.text} for pair in PAIRS[::4]}
    return noisy_judge.SimulatedJudge(relevant, 0.2, 1)


def test_it_is_wrong_as_often_as_it_is_told_to_be(simulated: Any) -> None:
    grades = [simulated.grade(pair) for pair in PAIRS]
    right = [3 if simulated.truth(pair) else 0 for pair in PAIRS]
    assert right.count(3) == len(PAIRS) / 4
    wrong = [(said, true) for said, true in zip(grades, right, strict=True) if said != true]
    assert len(wrong) / len(PAIRS) == pytest.approx(0.2, abs=0.03)
    for said in (1, 2):
        assert wrong.count((said, 0)) == pytest.approx(wrong.count((3, 0)), rel=0.35)
    assert grades == [simulated.grade(pair) for pair in PAIRS]


def test_its_endpoint_says_the_same(noisy_judge: Any, simulated: Any, port: int, tmp_path: Path) -> None:
    config = JudgeConfig(url=f"http://127.0.0.1:{port}/v1", model="m", cache=tmp_path)
    pairs = PAIRS[:40]
    assert [importlib.import_module("simulated_judge").pair_of(prompt(config, pair)) for pair in pairs] == pairs
    with noisy_judge.answering(simulated, port):
        found = Judge(config, SilentReporter()).grade(pairs)
    assert [one.grade for one in found] == [simulated.grade(pair) for pair in pairs]


def test_kappa_is_that_of_the_library(noisy_judge: Any, simulated: Any) -> None:
    from sklearn.metrics import cohen_kappa_score

    graded = [noisy_judge.Graded(*pair, simulated.truth(pair), simulated.grade(pair)) for pair in PAIRS]
    true, said = [one.relevant for one in graded], [one.grade >= 2 for one in graded]
    counts = noisy_judge._confusion(graded, 2)
    assert float(noisy_judge._kappa(counts)) == pytest.approx(cohen_kappa_score(true, said))


def test_a_share_of_the_gain(noisy_judge: Any) -> None:
    untrained, supervised, judged = (dict.fromkeys(map(str, range(50)), value) for value in (0.5, 0.7, 0.65))
    assert noisy_judge._share(untrained, supervised, judged) == "75% [75%, 75%]"
    assert noisy_judge._share(supervised, untrained, judged) == "no gain from labels"
    one_gains = {**untrained, "7": 0.7}
    assert noisy_judge._share(untrained, one_gains, judged).endswith("% [the gain may be 0]")


@pytest.mark.usefixtures("quickly")
def test_both_runs_are_measured_and_reused(
    noisy_judge: Any, toy_collection: Path, tiny_encoder: Path, port: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = ["--collection", toy_collection, "--runs", tmp_path, "--queries", 44, "--people", 25, "--port", port]
    arguments += ["--base", tiny_encoder, "--pseudo-queries", 40, "--noise", 0.1]
    arguments += [f"--judged-set=collection.documents.{split}=0.3" for split in ("dev", "test")]
    monkeypatch.setattr("sys.argv", ["noisy_judge.py", *map(str, arguments), *(f"--set={one}" for one in QUICK)])
    noisy_judge.main()
    tables = capsys.readouterr().out
    rows = {cells[0]: cells[1:] for line in tables.splitlines() if (cells := line.strip("| ").split(" | "))}
    for name in ("supervised", "judged"):
        assert all(0 < float(value) <= 1 for value in rows[name][:3])
    assert any(name.startswith("share of the gain") for name in rows)
    (reported,) = (cells[0] for name, cells in rows.items() if name.startswith("kappa reported"))
    (true,) = (cells[0] for name, cells in rows.items() if name.startswith("kappa of all"))
    assert float(reported.split()[0]) - float(true) == pytest.approx(float(rows["reported less true"][0]), abs=0.002)
    written = [path for path in tmp_path.rglob("*.json") if path.name != "lock.json"]
    assert sum(path.name == "truth.json" for path in written) == 1
    times = [path.stat().st_mtime_ns for path in written]
    noisy_judge.main()
    assert "".join(capsys.readouterr().out.splitlines()[-13:]) == "".join(tables.splitlines()[-13:])
    assert [path.stat().st_mtime_ns for path in written] == times

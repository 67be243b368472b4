"""`crossforge sweep`: what is proposed, what is shared, kills, failures and the table."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Command, Recorder, error_line, toy_config

from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.config.sweep import Range
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages
from crossforge_train.sweep.proposals import Trial, propose
from crossforge_train.sweep.runner import Sweep, _config_of, _copy_judgements, run_sweep
from crossforge_train.training.progress import TrainingProgress

pytest.importorskip("optuna")

RATES = {"training.learning_rate": {"low": "1e-4", "high": "1e-2", "log": True}, "training.loss": ["mse", "list_net"]}
SPACE = {
    "training.learning_rate": Range(low=1e-5, high=1e-3, log=True),
    "training.groups_per_batch": (4, 8, 16),
    "mining.negatives": Range(low=3, high=9),
}


@pytest.fixture(autouse=True)
def no_export(quickly: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossforge_train.models.export.export_onnx", lambda model, folder: None)


@pytest.fixture
def swept(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> Callable[..., Path]:
    """Makes a config file with a search space, in a folder of its own."""

    def make(space: dict, folder: str = "one", **sections: Any) -> Path:
        (tmp_path / folder).mkdir()
        return toy_config(
            tmp_path / folder, toy_collection, tiny_encoder, sweep={"space": space, "trials": 2}, **sections
        )

    return make


def sweep(path: Path, *overrides: str, trials: int | None = None) -> Sweep:
    return run_sweep(path, overrides, trials, SilentReporter())


def facts(found: Sweep) -> list[tuple]:
    return [(trial.number, dict(trial.values), trial.dev, trial.reason) for trial in found.trials]


def proposals(count: int, seed: int) -> list[Trial]:
    done: list[Trial] = []
    for number in range(count):
        values = propose(SPACE, done, seed)
        dev = None if number % 5 == 4 else 1 / values["mining.negatives"]
        done.append(Trial(number + 1, values, dev))
    return done


@given(seed=st.integers(0, 2**32 - 100))
def test_proposals_lie_in_the_space(seed: int) -> None:
    for trial in proposals(3, seed):
        assert 1e-5 <= trial.values["training.learning_rate"] <= 1e-3
        assert trial.values["training.groups_per_batch"] in (4, 8, 16)
        assert trial.values["mining.negatives"] in range(3, 10)


def test_the_same_seed_and_results_give_the_same_proposals_also_after_the_random_ones() -> None:
    assert proposals(16, 1) == proposals(16, 1)
    assert proposals(16, 1) != proposals(16, 2)


def test_proposals_differ_among_themselves_and_come_to_prefer_what_did_well() -> None:
    found = [trial.values["mining.negatives"] for trial in proposals(40, 0)]
    assert sum(found[20:]) < sum(found[:20])
    assert len({trial.values["training.learning_rate"] for trial in proposals(10, 0)}) == 10


def test_a_sweep_is_repeatable_and_names_the_best_trial_first(swept: Callable[..., Path]) -> None:
    one, two = sweep(swept(RATES, "one")), sweep(swept(RATES, "two"))
    assert facts(one) == facts(two)
    devs = [trial.dev for trial in one.trials]
    assert len(devs) == 2
    assert devs == sorted(devs, reverse=True)
    for trial in one.trials:
        folder = Path(one.folder) / f"trial-{trial.number:03}"
        assert read_json(folder / "finetune" / "history.json")["best_fused"] == trial.dev
        assert not (folder / "evaluate").exists(), "the test split is not for choosing"


def test_dev_is_measured_in_all_trials_alike_unless_the_config_says_how(swept: Callable[..., Path]) -> None:
    path = swept(RATES)
    for queries, expected in (("auto", (4, 100)), ("30", (4, 30))):
        config = load_config(path, ["training.evaluations=auto", f"training.dev_queries={queries}"])
        training = _config_of(config, config, 1).training
        assert (training.evaluations, training.dev_queries) == expected


def test_two_sweeps_of_one_run_are_not_mixed(swept: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, refused = swept(RATES), []

    def another_sweep(*_: Any) -> Trial:
        thread = threading.Thread(target=lambda: refused.append(_error_of(lambda: sweep(path))))
        thread.start()
        thread.join()
        return Trial(1, {}, 0.5)

    monkeypatch.setattr("crossforge_train.sweep.runner._run_trial", another_sweep)
    sweep(path, trials=1)
    assert f"process {os.getpid()}" in refused[0]


def _error_of(work: Callable[[], object]) -> str:
    with pytest.raises(InputError) as found:
        work()
    return str(found.value)


def test_the_command_trains_what_the_best_trial_trained(swept: Callable[..., Path]) -> None:
    path = swept(RATES)
    found = sweep(path, "training.dropout=0.1")
    best = Path(found.folder) / f"trial-{found.trials[0].number:03}"
    words = found.command.split()
    assert words[:3] == ["crossforge", "train", str(path)]
    overrides = words[4::2]
    assert overrides[0] == "training.dropout=0.1"
    config = load_config(path, overrides)
    trained = read_json(best / "finetune" / "history.json")["training"]
    assert config.training.learning_rate == trained["learning_rate"] == found.trials[0].values["training.learning_rate"]
    assert config.training.loss == trained["loss"]


def test_stages_that_do_not_differ_are_done_once(swept: Callable[..., Path]) -> None:
    path = swept(RATES)
    config = load_config(path)
    run_stages(config, STAGES[:2], SilentReporter())
    found = sweep(path)
    groups = config.folder / "mine" / "groups" / "part-00000.parquet"
    assert len(found.trials) == 2
    for trial in found.trials:
        assert (Path(found.folder) / f"trial-{trial.number:03}" / "mine" / "groups" / "part-00000.parquet").samefile(
            groups
        )


def test_values_that_were_tried_before_are_not_trained_again(swept: Callable[..., Path]) -> None:
    found = sweep(swept({"training.loss": ["mse"]}))
    weights = [Path(found.folder) / f"trial-{n:03}" / "finetune" / "model" / "model.safetensors" for n in (1, 2)]
    assert weights[1].samefile(weights[0])


def test_another_machine_takes_the_trials_from_the_store(swept: Callable[..., Path], tmp_path: Path) -> None:
    store, notes = f"file://{tmp_path}/store", Recorder()
    found = sweep(swept({"training.loss": ["mse"]}, store=store))
    again = run_sweep(swept({"training.loss": ["mse"]}, "two", store=store), (), None, notes)
    assert facts(again) == facts(found)
    assert notes.stages_that("started") == []
    assert (tmp_path / "store" / "toy" / "sweep" / "trial-002" / "stages" / "finetune.json").is_file()


@pytest.mark.slow
def test_mining_is_done_anew_where_it_differs(swept: Callable[..., Path]) -> None:
    found = sweep(swept({"mining.negatives": {"low": 1, "high": 9}}), trials=3)
    for trial in found.trials:
        record = read_json(Path(found.folder) / f"trial-{trial.number:03}" / "stages" / "mine.json")
        assert record["depends_on"]["mining"]["negatives"] == trial.values["mining.negatives"]
    assert len({trial.values["mining.negatives"] for trial in found.trials}) > 1


def test_judgements_that_were_withdrawn_leave_the_trials(tmp_path: Path) -> None:
    base = Config(name="run", runs=tmp_path, collection={"builtin": "pydocs"})
    trial = _config_of(base, base, 1)
    RunFolder(base.folder).claim()
    judgements = [RunFolder(config.folder).judgements for config in (base, trial)]
    judgements[0].write_text("query-id\tcorpus-id\tscore\nq0\tchess-1\t1\n")
    _copy_judgements(base, trial)
    assert judgements[1].read_text() == judgements[0].read_text()
    judgements[0].unlink()
    _copy_judgements(base, trial)
    assert not judgements[1].exists()


def test_judgements_by_hand_hold_in_the_trials(swept: Callable[..., Path]) -> None:
    path = swept({"training.loss": ["mse"]})
    config = load_config(path)
    run_stages(config, STAGES[:1], SilentReporter())
    (config.folder / "judgements.tsv").write_text("query-id\tcorpus-id\tscore\nq0\tchess-1\t1\n")
    found = sweep(path, trials=1)
    qrels = (Path(found.folder) / "trial-001" / "collect" / "collection" / "qrels").glob("*.tsv")
    assert any("q0\tchess-1\t1" in file.read_text() for file in qrels)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_the_same(swept: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep(swept(RATES, "whole"))
    path = swept(RATES, "killed")
    saves = 0

    def on_save(self: TrainingProgress, *_: Any, **__: Any) -> None:
        nonlocal saves
        saves += 1
        if saves == 5:  # three checkpoints a trial: in the middle of the second
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_save", on_save, raising=False)
        with pytest.raises(KeyboardInterrupt):
            sweep(path)
    first = load_config(path).folder / "sweep" / "trial-001" / "finetune" / "history.json"
    before = first.stat().st_mtime_ns
    assert list((load_config(path).folder / "sweep" / "trial-002" / "finetune.partial").rglob("checkpoint-*"))
    assert facts(sweep(path)) == facts(whole)
    assert first.stat().st_mtime_ns == before, "the finished trial is not trained again"


def test_more_trials_go_on_from_those_that_are_done(swept: Callable[..., Path]) -> None:
    path = swept(RATES)
    few = sweep(path, trials=1)
    more = sweep(path, trials=2)
    assert facts(few)[0] in facts(more)
    assert len(more.trials) == 2


def test_a_trial_that_fails_is_kept_with_its_reason_and_the_sweep_goes_on(swept: Callable[..., Path]) -> None:
    found = sweep(swept({"mining.random_negatives": [0, 50]}), trials=6)
    failed = [trial for trial in found.trials if trial.dev is None]
    assert 0 < len(failed) < 6
    assert list(found.trials[-len(failed) :]) == failed
    for trial in found.trials:
        assert (trial.dev is None) == (trial.values["mining.random_negatives"] == 50)
        assert (trial.reason is not None) == (trial.dev is None)
    assert "random_negatives (50) is a part of negatives (3)" in str(failed[0].reason)


def test_a_sweep_all_of_whose_trials_fail_says_why(swept: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"every trial of the sweep failed.*dropout"):
        sweep(swept({"training.dropout": [1.5]}))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"training.learning_rte": [1]}, "sweep.space: training.learning_rte is no key that a sweep can search; did "),
        ({"collection.dev": [0.1, 0.2]}, "sweep.space: collection.dev is no key that a sweep can search"),
        ({"training.dev_depth": [10, 20]}, "sweep.space: training.dev_depth is no key that a sweep can search"),
        ({"training.dropout": {"low": 1, "high": 1}}, "sweep.space.training.dropout: the range is empty"),
        ({"training.dropout": {"low": 0, "high": 1, "log": True}}, "sweep.space.training.dropout: a logarithmic range"),
        ({"training.dropout": {"low": 0}}, "sweep.space.training.dropout: give {low, high}"),
        ({"training.dropout": {"low": 0, "hihg": 1}}, "sweep.space.training.dropout: give {low, high}"),
        ({"training.dropout": 0.1}, "sweep.space.training.dropout: give {low, high}"),
        ({"training.dropout": {"low": "few", "high": 1}}, "sweep.space.training.dropout: "),
        ({"training.dropout": []}, "sweep.space.training.dropout: "),
        ({"training.dropout": [[1]]}, "sweep.space.training.dropout: "),
        ({}, "sweep.space is missing"),
    ],
)
def test_a_wrong_space_is_told_in_one_line_that_names_the_key(
    swept: Callable[..., Path], crossforge: Command, space: dict, message: str
) -> None:
    path = swept(space)
    line = error_line(crossforge("sweep", path))
    assert line.startswith(f"error: {path}: {message}")


def test_without_optuna_it_is_told_before_anything_runs(
    swept: Callable[..., Path], crossforge: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    path = swept(RATES)
    assert 'pip install "crossforge[sweep]"' in error_line(crossforge("sweep", path))
    assert not load_config(path).folder.exists()


def test_the_command_shows_a_table_and_json(swept: Callable[..., Path], crossforge: Command) -> None:
    path = swept({"mining.random_negatives": [0, 50]})
    shown = crossforge("sweep", path, "--trials", 6, "--quiet")
    assert shown.status == 0
    assert "dev nDCG@10" in shown.out
    assert "failed" in shown.out
    assert f"crossforge train {path} --set mining.random_negatives=0" in shown.out
    found = crossforge("sweep", path, "--trials", 6, "--json").json
    assert [trial["number"] for trial in found["trials"]] != []
    assert found["trials"][0]["values"] == {"mining.random_negatives": 0}
    assert found["command"].endswith("--set mining.random_negatives=0")

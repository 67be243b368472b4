"""A whole run on a tiny model: every stage for real."""

from pathlib import Path

from crossforge.files import read_json


def test_a_run_leaves_every_stage_finished(toy_run: Path) -> None:
    for stage in ("collect", "mine", "finetune", "evaluate", "package"):
        assert (toy_run / stage).is_dir()
        assert not (toy_run / f"{stage}.partial").exists()


def test_the_curves_of_training_are_in_the_report(toy_run: Path) -> None:
    curves, log = (read_json(toy_run / path) for path in ("evaluate/report.json", "finetune/history.json"))
    losses = [(entry["step"], entry["loss"]) for entry in log["log"] if "loss" in entry]
    measured = [(entry["step"], entry["eval_dev_metric"]) for entry in log["log"] if "eval_dev_metric" in entry]
    found = curves["training"]
    assert list(zip(found["steps"], found["loss"], strict=True)) == losses
    assert list(zip(found["dev_steps"], found["dev"], strict=True)) == measured
    assert len(losses) > 5
    assert len(measured) == 3

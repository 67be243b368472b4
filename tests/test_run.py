"""A whole run on a tiny model: every stage for real."""

from pathlib import Path


def test_a_run_leaves_every_stage_finished(toy_run: Path) -> None:
    for stage in ("collect", "mine", "finetune", "evaluate", "package"):
        assert (toy_run / stage).is_dir()
        assert not (toy_run / f"{stage}.partial").exists()

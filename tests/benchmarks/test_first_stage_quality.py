"""benchmarks/first_stage_quality.py: it measures the first stage of a run as its config names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support import toy_config, write_collection

from crossforge_train.config.loading import load_config
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages


@pytest.fixture
def first_stage_quality(script: Any) -> Any:
    return script("first_stage_quality")


@pytest.mark.usefixtures("quickly")
def test_a_hybrid_is_weighted_as_in_the_run_whatever_its_splits_are_called(
    first_stage_quality: Any,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_collection(tmp_path / "toy")
    (folder / "qrels" / "train.tsv").rename(folder / "qrels" / "training.tsv")
    first_stage = {"kind": "hybrid", "tune_encoder": False, "query_map": False}
    path = toy_config(tmp_path, folder, tiny_encoder, first_stage=first_stage, seed=7)
    values = yaml.safe_load(path.read_text())
    values["collection"] |= {"train": "training", "dev": 0.5}
    values["evaluation"]["metric"] = "RR@10"
    path.write_text(yaml.safe_dump(values))
    config = load_config(path, [])
    run_stages(config, stages_until(config, "mine"), SilentReporter())
    monkeypatch.setattr("sys.argv", ["first_stage_quality.py", str(path)])
    first_stage_quality.main()
    rows = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert all(split in rows["dense"] for split in ("dev .", "test .")) and "training" not in rows["dense"]
    (weighted,) = (value for name, value in rows.items() if name.startswith("hybrid, weight"))
    (own,) = (value for name, value in rows.items() if name.startswith("as the run has it"))
    assert weighted == own.partition(": ")[2] or weighted == own

"""The labels of the test split decide nothing: whatever they say, the same reranker comes to its proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import toy_config, write_collection

from crossforge.files import read_json
from crossforge_train.config.loading import load_config
from crossforge_train.encoders import tuning
from crossforge_train.encoders.tuning import RULES
from crossforge_train.report import files as report_files
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import tuned_encoder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")

TRAINING = {
    "groups_per_batch": 16, "minutes": None, "dev_depth": 5,
    **dict.fromkeys(("max_length", "evaluations", "dev_queries", "learning_rate", "head_learning_rate",
                     "long_documents", "merge", "distillation_weight", "lora"), "auto"),
}  # fmt: skip
EVALUATION = {"depth": "auto", "depths": [5], "deep_queries": 0, "minutes": None, "latency_queries": 0}
LEARNED = {"kind": "hybrid", "encoder_max_length": "auto"}


def with_other_labels(qrels: Path) -> None:
    """Give each query documents of others, with other grades; every third one is left without a relevant one."""
    header, *lines = qrels.read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    others = [
        f"{query_id}\t{rows[number - 7][1]}\t{number % 3}\n{query_id}\t{rows[number - 11][1]}\t{int(number % 3 != 0)}"
        for number, (query_id, *_) in enumerate(rows)
    ]
    qrels.write_text("\n".join([header, *others]) + "\n")


def files_of(folder: Path, *parts: str) -> dict[str, bytes]:
    """What these stages wrote, but for the labels of the test split, what is counted of them, and times."""
    left = {"test.tsv", "counts.json", "history.json"}
    found = [path for part in parts for path in sorted((folder / part).rglob("*"))]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.is_file() and path.name not in left
    }


@pytest.mark.parametrize(
    ("first_stage", "train", "last"),
    [
        ({**LEARNED, "tune_encoder": False}, 90, "mine"),
        ({**LEARNED, "query_map": False}, 90, "mine"),
        ({"kind": "lexical"}, 60, "evaluate"),
    ],
    ids=["query map", "tuned encoder", "reranker"],
)
def test_other_labels_of_the_test_split_change_no_choice(
    tmp_path: Path,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
    first_stage: Mapping[str, Any],
    train: int,
    last: str,
) -> None:
    monkeypatch.setattr(tuning, "RULES", replace(RULES, batch=12, rate=1e-3))
    monkeypatch.setattr(tuned_encoder, "_LEAST_TRAINING_QUERIES", 20)
    monkeypatch.setattr(report_files, "page", lambda *_: "")  # plots take longest
    runs = []
    for name in ("as labelled", "otherwise"):
        collection = write_collection(tmp_path / name / "toy", train=train, test=33)
        if name == "otherwise":
            with_other_labels(collection / "qrels" / "test.tsv")
        settings = toy_config(
            tmp_path / name, collection, tiny_encoder, mining={"teacher": "base"}, training=TRAINING,
            first_stage=dict(first_stage), evaluation=EVALUATION,
        )  # fmt: skip
        config = load_config(settings, ["collection.dev=0.35"])
        run_stages(config, stages_until(config, last), SilentReporter())
        runs.append(RunFolder(config.folder))
    one, other = runs
    qrels = [run.collected.collection().qrels("test") for run in runs]
    assert qrels[0].keys() == qrels[1].keys()
    assert not any(qrels[0][query_id] == qrels[1][query_id] for query_id in qrels[0])
    before, after = (files_of(run.path, "collect", "mine", "finetune") for run in runs)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []
    if last == "mine":
        choice = one.mined.choice
        assert choice.moved or choice.tuned, "labels were learned from"
        return
    assert one.finetuned.history.training == other.finetuned.history.training
    assert one.finetuned.history.dev_metrics() == other.finetuned.history.dev_metrics()
    reports = [read_json(run.path / "evaluate" / "report.json") for run in runs]
    assert reports[0]["splits"] != reports[1]["splits"]
    assert reports[0]["tuned"] == reports[1]["tuned"]
    assert reports[0]["depth"] == reports[1]["depth"]

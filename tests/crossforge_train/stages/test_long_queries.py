"""Queries that fill what the model reads: left out of training, counted, and ranked in proof and app alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import Recorder, toy_config, write_lines

from crossforge import Reranker, RetrieveAndRerank
from crossforge.errors import InputError
from crossforge.pipeline import load_first_stage
from crossforge.runs import read_run
from crossforge_train.config.loading import load_config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages

LONG = "bread dough oven flour yeast crust loaf knead butter pastry " * 9


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, toy_collection: Path) -> Path:
    """The toy collection with a long query in each split; in dev it is the first."""
    folder = shutil.copytree(toy_collection, tmp_path_factory.mktemp("long") / "toy")
    with (folder / "queries.jsonl").open("a") as lines:
        for split in ("train", "dev", "test"):
            lines.write(json.dumps({"_id": f"long-{split}", "text": f"{LONG}{split} {split}"}) + "\n")
    rows = (folder / "qrels" / "train.tsv").read_text().splitlines()
    splits = {"train": [*rows[1:-12], "long-train\tbaking-1\t1"], "dev": ["long-dev\tbaking-2\t1", *rows[-12:]]}
    for split, found in splits.items():
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join([rows[0], *found]) + "\n")
    with (folder / "qrels" / "test.tsv").open("a") as lines:
        lines.write("long-test\tbaking-3\t1\n")
    return folder


@pytest.mark.parametrize("bi_encoder", [True, False])
def test_long_queries_are_ranked_in_proof_and_app_alike(
    quickly: None, tmp_path: Path, collection: Path, tiny_encoder: Path, bi_encoder: bool
) -> None:
    base = tiny_encoder if bi_encoder else tiny_encoder.with_name(f"{tiny_encoder.name}-plain")
    path = toy_config(
        tmp_path, collection, base, evaluation={"latency_queries": 0, "depth": 10},
        package={"include_corpus": True, "allow_regression": True},
    )  # fmt: skip
    config = load_config(path, ["collection.dev=dev"])
    reporter = Recorder()
    run_stages(config, STAGES, reporter)
    assert any("groups left out: their query alone fills training.max_length" in note for note in reporter.notes)
    run = RunFolder(config.folder)
    (split,) = run.evaluated.report.splits
    assert split.unread == 1
    assert "1 of the queries leave the model no room" in (run.evaluated.path / "report.md").read_text()
    proven = read_run(run.evaluated.path / "runs" / "test.as-shipped.trec")["long-test"][:10]
    app = RetrieveAndRerank(*load_first_stage(run.package.first_stage), Reranker(run.package.path))
    served = app(f"{LONG}test test")
    assert not served.reranked
    assert [found.doc_id for found in served] == [found.doc_id for found in proven]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_split_that_cannot_be_read_at_all_is_told_before_training(
    quickly: None, tmp_path: Path, toy_collection: Path, tiny_encoder: Path, split: str
) -> None:
    folder = shutil.copytree(toy_collection, tmp_path / "toy")
    lines = (folder / "qrels" / "train.tsv").read_text().splitlines(keepends=True)
    (folder / "qrels" / "dev.tsv").write_text("".join([lines[0], *lines[-12:]]))
    (folder / "qrels" / "train.tsv").write_text("".join(lines[:-12]))
    held_out = {line.split("\t")[0] for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()}
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    write_lines(
        folder / "queries.jsonl",
        [{**query, "text": LONG + query["text"]} if query["_id"] in held_out else query for query in queries],
    )
    config = load_config(toy_config(tmp_path, folder, tiny_encoder), ["collection.dev=dev"])
    reporter = Recorder()
    message = rf"split {split}: none of its {len(held_out) - 1} queries leaves room for a document in 48 tokens; raise"
    with pytest.raises(InputError, match=message):
        run_stages(config, STAGES, reporter)
    assert reporter.stages_that("started")[-1] == "finetune"
    assert not any("training starts" in note for note in reporter.notes)

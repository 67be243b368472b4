"""Where a reranker is loaded that workers score with."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from wrapped_engine import PretendedCluster

from crossforge import Document, Reranker, reranker
from crossforge.pipeline import RetrieveAndRerank
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import Candidate
from crossforge_train.bulk_scoring.scoring import score_table
from crossforge_train.collections.collection import Collection
from crossforge_train.evaluation.scoring import score_queries
from crossforge_train.mining import cross_encoder
from crossforge_train.mining.cross_encoder import CrossEncoderTeacher
from crossforge_train.mining.groups import Group
from crossforge_train.pair_scoring import backend_for
from crossforge_train.reporting import SilentReporter

QUERIES = {f"q{n}": "bread oven" for n in range(20)}
DOCUMENTS = {"d1": Document("d1", "yeast"), "d2": Document("d2", "a boat")}
QUIET = SilentReporter()


def teach(scorer: Reranker, cluster: PretendedCluster, _: Path) -> None:
    collection = Collection("toy", DOCUMENTS, QUERIES, {"train": {}})
    groups = [Group(query_id, list(DOCUMENTS), [1, 0], [1, 2]) for query_id in QUERIES]
    CrossEncoderTeacher(scorer, collection, QUIET, cluster).read(groups)


def prove(scorer: Reranker, cluster: PretendedCluster, _: Path) -> None:
    pipeline = RetrieveAndRerank(DOCUMENTS, TfidfRetriever.fit(list(DOCUMENTS.values())), scorer)
    run = {query_id: [Candidate("d1", 1.0)] for query_id in QUERIES}
    score_queries(pipeline, QUERIES, run, 5, QUIET, "", cluster)


def fill_a_table(scorer: Reranker, cluster: PretendedCluster, folder: Path) -> None:
    (folder / "pairs.jsonl").write_text(json.dumps({"query": "bread", "text": "oven"}) + "\n")
    score_table(scorer, folder / "pairs.jsonl", folder / "scores.parquet", lambda: nullcontext(cluster), QUIET)


@pytest.mark.parametrize("work", [teach, prove, fill_a_table])
@pytest.mark.parametrize(("gpus", "device"), [(0, "auto"), (0.5, "cuda")])
def test_workers_with_a_gpu_load_it_there(
    tiny_scorer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Reranker, PretendedCluster, Path], None],
    gpus: float,
    device: str,
) -> None:
    monkeypatch.setattr(cross_encoder, "_CHUNK", 8)
    here, loads = Reranker(tiny_scorer), reranker.load_parts
    asked: list[str] = []

    def load(reference: str, **options: Any) -> object:
        asked.append(options["device"])
        return loads(reference, **{**options, "device": "cpu"})

    monkeypatch.setattr(reranker, "load_parts", load)
    work(here, PretendedCluster(gpus=gpus), tmp_path)
    assert asked == [device]


@pytest.mark.parametrize("there", [True, False])
def test_auto_is_torch_where_this_process_has_a_gpu(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert backend_for("auto") == ("torch" if there else "auto")
    assert backend_for("onnx") == "onnx"

"""Benchmarks on collections whose queries are documents: these are no candidates of their own queries."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import make_documents, write_collection, write_lines

from crossforge_train.config.run import Config
from crossforge_train.evaluation.scoring import ScoredQuery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixteen training and as many test queries that are documents; the one after each is relevant to it."""
    folder = write_collection(tmp_path / "own")
    documents = make_documents()
    write_lines(folder / "queries.jsonl", [{"_id": one["_id"], "text": one["text"]} for one in documents])
    for split, part in (("train", documents[:17]), ("test", documents[20:37])):
        lines = [f"{one['_id']}\t{other['_id']}\t1" for one, other in pairwise(part)]
        lines = ["query-id\tcorpus-id\tscore", *lines]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_fusion_weight(script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, runs = script("fusion_weight"), []

    def scored(_model: Any, _collection: Any, queries: Any, run: Any, _depth: int) -> dict[str, ScoredQuery]:
        runs.append(run)
        ids = {query_id: [found.doc_id for found in run[query_id]] for query_id in queries}
        return {query_id: ScoredQuery(found, *np.zeros((3, len(found)))) for query_id, found in ids.items()}

    monkeypatch.setattr(module, "cosine_scores", scored)
    module._values(folder, None)
    (run,) = runs
    assert len(run) == 16
    assert not any(query_id in {one.doc_id for one in found} for query_id, found in run.items())


def test_adaptation(script: Any, folder: Path, toy_run: Path) -> None:
    import yaml

    config = Config(**yaml.safe_load((toy_run.parents[1] / "config.yaml").read_text()))
    orders, _ = script("adaptation")._orders(config, folder, "test", None)
    assert {"first stage", "base as bi-encoder", "adapted", "adapted, fused"} <= orders.keys()
    for order in orders.values():
        assert len(order) == 16
        assert not any(query_id in found for query_id, found in order.items())

"""A machine that is lost in the midst of the work changes no bit of what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray_workers import importable_by_workers
from sharded_corpus import QUERIES, make_corpus
from wrapped_engine import WrappedEngine

from crossforge.retrievers.lexical import LexicalKind
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.compute.base import Batch, Found, MakeWorker
from crossforge_train.compute.choice import opened_engine
from crossforge_train.config.compute import ComputeConfig
from crossforge_train.sharding import fitting
from crossforge_train.sharding.fitting import fit_by_shards


@dataclass
class Interrupted(WrappedEngine):
    """An engine that something happens to after some results."""

    after: int
    happens: Callable[[], None]

    def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterable[Batch]) -> Iterator[Found]:
        for found in self.engine.map(make_worker, batches):
            self.after -= 1
            if self.after == 0:
                self.happens()
            yield found


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster of three nodes with a CPU each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with importable_by_workers():
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        for _ in range(2):
            found.add_node(num_cpus=1)
        yield found
        found.shutdown()


# Of 8 + 3 + 8 + 16 + 16 results: while terms are counted, while their frequencies are added up, while counts are
# weighed, and in each of two searches.
@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 9, 14, 23, 43])
def test_a_lost_node_changes_no_bit(tmp_path: Path, nodes: Any, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_TERM_QUERIES", 32)
    corpus = tmp_path / "corpus"
    ArrowCorpus.from_documents(make_corpus()).save(corpus)
    lost = next(iter(nodes.worker_nodes))
    config = ComputeConfig(engine="ray", address=nodes.address, workers=3)
    whole = LexicalKind.fit(ArrowCorpus.load(corpus).values(), {"weighting": "bm25"})
    with opened_engine(config, shared=tmp_path) as engine:
        interrupted = Interrupted(engine, after, lambda: nodes.remove_node(lost, allow_graceful=False))
        parts = fit_by_shards(corpus, {"weighting": "bm25"}, interrupted, tmp_path / "shards", 8)
        for by_id in (False, True):
            assert parts.search(QUERIES, 50, ties_by_id=by_id) == whole.search(QUERIES, 50, ties_by_id=by_id)
    assert interrupted.after <= 0
    assert lost not in nodes.worker_nodes

"""The copy of a package that workers load: the same numbers, and what is large in it is mapped."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed: crossforge[serve]")

from crossforge import Document, InputError, PackageError, Reranker, RetrieveAndRerank
from crossforge.pipeline import load_first_stage, save_first_stage
from crossforge.retrievers.choice import fit_retriever
from crossforge.service import sharing
from crossforge.service.plan import Plan
from crossforge.service.settings import Settings
from crossforge.service.sharing import share_first_stage, share_package


def is_mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


def plan_of(package: Path, corpus: Path | None = None) -> Plan:
    return Plan("toy", str(package), True, corpus, "auto", None, None, Settings())


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_copy_scores_bit_for_bit_the_same(toy_package, toy_texts, tmp_path, backend):
    share_package(toy_package, tmp_path / "copy", backend)
    copy = Reranker(tmp_path / "copy", backend=backend, verify="off")
    original = Reranker(toy_package, backend=backend)
    assert copy.score("bread oven", toy_texts).tolist() == original.score("bread oven", toy_texts).tolist()
    assert copy.manifest == original.manifest
    assert not (tmp_path / "copy" / "first_stage").exists()
    weights = tmp_path / "copy" / "onnx" / "model.onnx.weights"
    assert weights.is_file() == (backend == "onnx")
    if backend == "onnx":
        assert is_mapped(weights)
    assert (toy_package / "onnx" / "model.onnx").stat().st_size > 100_000  # nothing was written through a link


def test_where_a_gpu_computes_the_model_stays_as_it_is(toy_package, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "_on_gpu", lambda: True)
    share_package(toy_package, tmp_path / "copy", "onnx")
    assert (tmp_path / "copy" / "onnx" / "model.onnx").resolve() == (toy_package / "onnx" / "model.onnx").resolve()


def test_a_file_system_without_links_gets_copies(toy_package, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(Path, "symlink_to", refuse)
    share_package(toy_package, tmp_path / "copy", "onnx")
    assert not (tmp_path / "copy" / "config.json").is_symlink()
    assert Reranker(tmp_path / "copy", verify="off").score("bread", ["oven"]).shape == (1,)


@pytest.mark.parametrize("held", [True, False])
def test_a_hybrid_index_finds_the_same_in_a_copy_and_holds_no_vectors(tiny_onnx, tmp_path, monkeypatch, held):
    documents = [Document(str(n), f"bread oven {n} " * 3) for n in range(40)]
    retriever = fit_retriever(documents, "hybrid", {"dense": {"encoder": tiny_onnx}})
    save_first_stage(tmp_path / "stored", documents, retriever)
    if not held:
        monkeypatch.setattr(sharing, "HELD", 3)
    share_first_stage(tmp_path / "stored", tmp_path / "copy")
    found, copy = load_first_stage(tmp_path / "copy")
    _, original = load_first_stage(tmp_path / "stored")
    queries = {"a": "bread oven 3", "b": "oven 17"}
    assert found == documents
    assert copy.search(queries, 10) == original.search(queries, 10)
    assert copy.dense.vectors.dtype == (np.float32 if held else np.float16)
    if held:
        assert np.shares_memory(copy.dense._searched, copy.dense.vectors)  # which is mapped
    assert is_mapped(tmp_path / "copy" / "hybrid" / "dense" / "encoder" / "onnx" / "model.onnx.weights")


def test_workers_serve_what_one_process_would(toy_package, tmp_path):
    planned = sharing._shared(plan_of(toy_package), tmp_path)
    assert (planned.backend, planned.verify, planned.corpus) == ("onnx", "off", None)
    reranker = Reranker(toy_package)
    expected = RetrieveAndRerank(*load_first_stage(toy_package / "first_stage"), reranker)("bread oven yeast")
    copied = planned.reranker()
    found = RetrieveAndRerank(*planned.first_stage(copied), copied)("bread oven yeast")
    copied.close()
    assert [(one.doc_id, one.score) for one in found] == [(one.doc_id, one.score) for one in expected]


def test_a_corpus_is_indexed_once_for_all(toy_package, tmp_path, monkeypatch):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "a", "text": "bread and oven", "year": 2020}\n{"_id": "b", "text": "sail"}\n')
    planned = sharing._shared(plan_of(toy_package, corpus), tmp_path / "copy")
    corpus.unlink()  # nor is it read again
    monkeypatch.setattr("crossforge.pipeline.fit_first_stage", pytest.fail)
    documents, retriever = planned.first_stage(planned.reranker())
    assert documents == [Document("a", "bread and oven", metadata={"year": 2020}), Document("b", "sail")]
    assert [found.doc_id for found in retriever.search({"q": "bread"}, 5)["q"]] == ["a"]


def test_what_is_damaged_is_told_before_a_worker_starts(toy_package, tmp_path):
    plan = replace(plan_of(toy_package), package=str(tmp_path / "nowhere"))
    with pytest.raises(PackageError, match="no such folder"):
        sharing.shared(plan, tmp_path)


def test_a_process_that_dies_while_it_loads_is_told_in_one_line(toy_package, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "_shared", _die)
    with pytest.raises(InputError, match="cut short"):
        sharing.shared(plan_of(toy_package), tmp_path)


def _die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_does_not_mix_what_was_served_with_what_is_there_now(toy_package, tmp_path):
    package = tmp_path / "package"
    shutil.copytree(toy_package, package)
    planned = sharing._shared(plan_of(package), tmp_path / "copy")
    planned.app()
    (package / "config.json").write_text((package / "config.json").read_text() + " ")
    with pytest.raises(PackageError, match=r"config.json: changed since the service was started"):
        planned.app()
    shutil.rmtree(package)
    with pytest.raises(PackageError, match="changed since the service was started"):
        planned.app()

"""A tiny encoder, a small collection and a run on both, made on the fly: no test needs a network."""

from __future__ import annotations

import faulthandler
import gc
import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from quick_runs import quick_runs
from support import TOY_QUERY, Command, make_tiny_encoder, run_command, toy_config, write_collection

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Workers of pytest-xdist share the cores: left alone each of them would take all, and wait for the others.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

# A shell's background job ignores interrupts, and so would every process that its tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = {
    "test_real.py", "test_examples.py", "test_ray_train.py", "test_kills.py", "test_disks.py", "test_wheel.py",
    "test_processes.py", "test_finetune.py", "test_adaptation.py", "test_pydocs.py", "test_sweep.py",
}  # fmt: skip
END_SECONDS = 300
SHARED = Path(__file__).parents[2] / "shared" / "collections"

# How long an example takes says more about the machine than about the code.
settings.register_profile("crossforge", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crossforge")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest goes first: otherwise one worker is left with it when the others have finished."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector, which every training calls, need not look through it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """A process that cannot end says where it hangs, and ends: otherwise whatever runs the tests waits for it."""
    faulthandler.dump_traceback_later(END_SECONDS, exit=True, file=sys.__stderr__)


def pytest_unconfigure(config: pytest.Config) -> None:
    """A worker of pytest-xdist has ended its part, and waits for the others."""
    if hasattr(config, "workerinput"):
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def shared_collections() -> Path:
    """The folder of real collections; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real collections at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def toy_collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder with 72 documents, 48 training and 24 test queries."""
    return write_collection(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 2-layer BERT with its own vocabulary, as a sentence-transformers bi-encoder folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny_encoder(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The tiny encoder, exported to ONNX."""
    from crossforge_train.encoders.export import export_encoder

    folder = tmp_path_factory.mktemp("onnx") / "encoder"
    with quick_runs():
        export_encoder(tiny_encoder, folder, "tiny")
    return folder


@pytest.fixture(scope="session", autouse=True)
def encoders_exported_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each run has a folder of its own, but what is exported from one bi-encoder is the same for all."""
    from crossforge_train.encoders import embeddings
    from crossforge_train.models.base_model import model_hash

    export, kept = embeddings.export_encoder, tmp_path_factory.mktemp("encoders")

    def once(bi_encoder: Path, target: Path, *options: object) -> None:
        stored = kept / hashlib.sha256(repr((model_hash(bi_encoder), *options)).encode()).hexdigest()
        if not stored.is_dir():
            with quick_runs():
                export(bi_encoder, stored, *options)
        shutil.copytree(stored, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "export_encoder", once)
        yield


@pytest.fixture(scope="module")
def quickly() -> Iterator[None]:
    """Runs of the module are quick ones; `toy_run` is a real one."""
    with quick_runs():
        yield


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory, toy_collection: Path, tiny_encoder: Path) -> Path:
    """The folder of a finished run on the toy collection, packaged with its corpus."""
    from crossforge_train.config.loading import load_config
    from crossforge_train.reporting import SilentReporter
    from crossforge_train.stages.recipe import STAGES
    from crossforge_train.stages.runner import run_stages

    folder = tmp_path_factory.mktemp("run")
    config = load_config(
        toy_config(
            folder, toy_collection, tiny_encoder,
            mining={"teacher": "base"}, training={"distillation_weight": 1.0, "epochs": 2},
            package={"include_corpus": True, "allow_regression": True},
        )
    )  # fmt: skip
    run_stages(config, STAGES, SilentReporter())
    return config.folder


@pytest.fixture(scope="session")
def toy_package(toy_run: Path) -> Path:
    """The package of `toy_run`; treat it as read-only."""
    return toy_run / "package"


@pytest.fixture(scope="session")
def toy_reranker(toy_package: Path) -> Any:
    """The reranker of `toy_package`."""
    from crossforge import Reranker

    return Reranker(toy_package)


@pytest.fixture(scope="session")
def toy_texts(toy_collection: Path) -> list[str]:
    """Twenty texts."""
    from crossforge.documents import read_documents

    return [document.text for document in read_documents(toy_collection / "corpus.jsonl")][:20]


@pytest.fixture(scope="session")
def toy_ranked(toy_reranker: Any, toy_texts: list[str]) -> Any:
    """What the toy reranker makes of the twenty texts for TOY_QUERY: the truth that clients are held to."""
    ranked = toy_reranker.rank(TOY_QUERY, toy_texts)
    assert [found.doc_id for found in ranked] != [str(n) for n in range(20)]
    assert 0 < len(ranked.above_threshold()) < 20
    return ranked


@pytest.fixture
def crossforge() -> Command:
    """Runs the command in this process."""
    return run_command

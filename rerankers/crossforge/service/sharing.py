"""Copies of a package that several processes load at the cost of one: what is large in it is mapped, and so shared."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from crossforge.backends.model_files import INT8_FILE, MODEL_FILE
from crossforge.embedding.encoder import MODEL_FILE as ENCODER_MODEL
from crossforge.embedding.encoder import is_encoder
from crossforge.errors import InputError
from crossforge.manifest import FIRST_STAGE_FOLDER
from crossforge.onnx_sessions import CUDA, write_mapped
from crossforge.package_files import weights_beside
from crossforge.pipeline import save_first_stage
from crossforge.retrievers.vectors import HELD
from crossforge.service.children import be_a_child, interrupts_wait
from crossforge.service.plan import Plan, stamp_of

# The model file that each of ONNX Runtime's backends computes.
MAPPED_BACKENDS = {"onnx": MODEL_FILE, "onnx-int8": INT8_FILE}
_VECTORS = "vectors.npy"

# Writes the second path from the first.
Writer = Callable[[Path, Path], None]


def shared(plan: Plan, folder: Path) -> Plan:
    """The same service from a copy of its files; they are checked, and an index is built, once for all processes.

    That is done in a process of its own: what it takes in memory would otherwise stay with the caller.

    Args:
        plan: of the service.
        folder: for the copy, which is needed as long as it is served.

    Raises:
        CrossforgeError: something cannot be loaded.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=be_a_child) as pool:
        with interrupts_wait():
            copied = pool.submit(_shared, plan, folder)
        try:
            return copied.result()
        except BrokenProcessPool:
            raise InputError(f"{plan.package}: loading it was cut short; is there too little memory?") from None


def _shared(plan: Plan, folder: Path) -> Plan:
    reranker, package = plan.reranker(), folder / "package"
    found = plan.first_stage(reranker)
    source = reranker.folder or Path(plan.package)
    share_package(source, package, reranker.backend_name)
    if found and plan.corpus:
        save_first_stage(folder / "built", *found)
        share_first_stage(folder / "built", package / FIRST_STAGE_FOLDER)
    elif found:
        share_first_stage(source / FIRST_STAGE_FOLDER, package / FIRST_STAGE_FOLDER)
    reranker.close()
    # `auto` has to choose what was chosen here; a plug-in is found by what it was asked for as.
    backend = reranker.backend_name if reranker.backend_name in MAPPED_BACKENDS else plan.backend
    # What is linked to could be replaced while it is served; a worker that starts later must not mix old and new.
    unchanged = {path: stamp_of(path) for path in package.rglob("*") if path.is_file()}
    return replace(plan, package=str(package), corpus=None, backend=backend, verify="off", unchanged=unchanged)


def share_package(package: Path, target: Path, backend: str) -> None:
    """Write a copy of a package, without its first stage, for processes that use this backend.

    Args:
        package: the package; what is not written anew is linked to.
        target: a new folder.
        backend: ONNX Runtime's backends on the CPU share weights; with others, each process has its own.
    """
    model = MAPPED_BACKENDS.get(backend)
    writers: dict[Path, Writer] = {package / model: write_mapped} if model and not _on_gpu() else {}
    if backend.startswith("openvino"):  # which reads no weights through a link
        writers[weights_beside(package / MODEL_FILE)] = _write_copy
    target.mkdir(parents=True)
    for path in sorted(package.iterdir()):
        if path.name != FIRST_STAGE_FOLDER:
            _copy(path, target / path.name, writers)


def share_first_stage(source: Path, target: Path) -> None:
    """Write a copy of a corpus and its index: encoders share weights, vectors are stored as they are searched.

    Args:
        source: what `save_first_stage` wrote; what is not written anew is linked to.
        target: a new folder.
    """
    writers: dict[Path, Writer] = {}
    for path in source.rglob("*"):
        if path.is_dir() and is_encoder(path):
            writers[path / ENCODER_MODEL] = write_mapped
        elif path.name == _VECTORS:
            writers[path] = _write_vectors
    _copy(source, target, writers)


def _copy(source: Path, target: Path, writers: Mapping[Path, Writer]) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir()):
            _copy(path, target / path.name, writers)
    else:
        writers.get(source, _link)(source, target)


def _write_copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _write_vectors(source: Path, target: Path) -> None:
    """As few vectors as a process would hold in float32 are stored so, and mapped as they are."""
    vectors = np.load(source, mmap_mode="r", allow_pickle=False)
    if vectors.size > HELD or vectors.dtype == np.float32:
        _link(source, target)
    else:
        np.save(target, vectors.astype(np.float32), allow_pickle=False)


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve())
    except OSError:  # a file system without links
        _write_copy(source, target)


def _on_gpu() -> bool:
    import onnxruntime

    return CUDA in onnxruntime.get_available_providers()

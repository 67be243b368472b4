"""`score`: scores a table of pairs, here or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crossforge.backends.choice import AUTO
from crossforge.backends.devices import AUTO_DEVICE
from crossforge.backends.model_files import MODEL_FILE
from crossforge.errors import InputError
from crossforge.reranker import Reranker
from crossforge_train.bulk_scoring.scoring import BulkScores, score_table
from crossforge_train.compute.choice import opened_engine
from crossforge_train.config.compute import ComputeConfig
from crossforge_train.config.wording import explain
from crossforge_train.libraries import quieten
from crossforge_train.pair_scoring import place_for_workers
from crossforge_train.reporting import Reporter, SilentReporter


def compute_settings(compute: Mapping[str, Any] | None) -> ComputeConfig:
    """The section `compute` of a config.

    Raises:
        InputError: a key or a value of it is wrong.
    """
    try:
        return ComputeConfig.model_validate(dict(compute or {}))
    except ValidationError as error:
        raise InputError(f"compute: {explain(error)}") from None


def score(
    package: str | Path,
    pairs: str | Path,
    save_to: str | Path,
    *,
    backend: str = AUTO,
    device: str = AUTO_DEVICE,
    compute: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> BulkScores:
    """Score a table of (query, document text) pairs; the same call goes on where an interrupted one stopped.

    Args:
        package: a package, a cross-encoder folder or a hub id; on a cluster, a folder that all nodes see.
        pairs: JSONL, CSV, TSV or Parquet with the columns `query`, `text` and perhaps `title`; other columns of texts
            or numbers, such as ids, go with the scores.
        save_to: the Parquet file to write.
        backend: see `Reranker`.
        device: likewise; workers of a cluster compute on a GPU if `compute` gives them one.
        compute: as the section `compute` of a config; this process alone if None.
        reporter: shows progress; silent by default.

    Raises:
        InputError: a row cannot be scored, an argument is invalid, the output is there and holds something else, or the
            cluster cannot be used.
        PackageError: there is no such reranker.

    >>> import crossforge_train as ct
    >>> ct.score("runs/quickstart/package", "pairs.parquet", "scores.parquet").pairs  # doctest: +SKIP
    20000
    """
    settings = compute_settings(compute)
    if settings.engine != "local" and device != AUTO_DEVICE:
        raise InputError(f"device={device!r}: workers compute where compute.gpus_per_worker says; leave it out")
    if settings.engine != "local" and settings.gpus_per_worker and backend.startswith(("openvino", "onnx-int8")):
        raise InputError(f"backend={backend!r}: computes on no GPU; leave out compute.gpus_per_worker, or take torch")
    folder = place_for_workers(package)
    if backend != AUTO or device != AUTO_DEVICE or not (folder / MODEL_FILE).is_file():
        quieten()  # torch will read it
    open_engine = partial(opened_engine, settings, read=folder)
    reranker = Reranker(folder, backend=backend, device=device)
    return score_table(reranker, Path(pairs), Path(save_to), open_engine, reporter or SilentReporter())

"""`reranker.json`, the manifest: a package's settings, measured results, and the hash of every file in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crossforge.calibration import Calibrator
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, sha256, stays_within, write_json
from crossforge.long_documents import BEST_WINDOW, LONG_DOCUMENTS, LongDocuments

MANIFEST_FILE = "reranker.json"
# Holds a package's proof; no other folder of a model has one.
PROOF_FILE = "evaluation/report.json"
# Where a package keeps how its first stage is made and, if it has them, its corpus and index.
FIRST_STAGE_FOLDER = "first_stage"
KIND = "crossforge-reranker"
SCHEMA_VERSION = 2  # 2: calibrators may hold knots

_MOST = 2**31 - 1  # what tokenizers and arrays count up to

# Files that loading a package reads if they exist; in the folder of its first stage, any may be read.
_LOADED = (
    "adapter_config.json",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "pair_template.json",
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model_int8.onnx",
    "onnx/model_int8.onnx_data",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)

Verify = Literal["full", "size", "off"]
_VERIFY = ("full", "size", "off")


@dataclass(frozen=True)
class Manifest:
    """The contents of `reranker.json`.

    Attributes:
        base_model: the model that was fine-tuned.
        max_length: maximum tokens of query and document together.
        calibrator: maps the model's logits to probabilities; the sigmoid alone if `folded` is given.
        threshold: lowest probability at which a document counts as relevant; None if no threshold was fitted.
        fusion_weight: weight of the first-stage score in the shipped order, from 0 to 1.
        first_stage: kind of the first stage whose score that is; None in packages of versions before 0.2.
        verdict: WIN, TIE or REGRESSION for each test split.
        metrics: results on the test splits.
        data_hash: fingerprint of the training collection.
        agreement: for each backend, the largest absolute difference between its logits and those of fp32 torch.
        versions: versions of the libraries that built the package.
        files: path in the package -> {"sha256", "size"}; size in bytes.
        depth: how many first-stage candidates the proof reranked, which is what apps do unless they say otherwise; None
            in packages of versions before 0.2.
        passages: how many passages of a long document the proof read, likewise.
        long_documents: which of its windows these are: those that match the query best, or the first ones.
        backend: what computed the proof, where it was picked to keep within a time; "auto" opens it where it can.
        folded: the Platt scaling that the model's last layer holds already, so that any client's sigmoid gives
            calibrated probabilities; None if no layer holds it, and `calibrator` has to be applied.
    """

    base_model: str
    max_length: int
    calibrator: Calibrator = field(default_factory=Calibrator)
    threshold: float | None = None
    fusion_weight: float = 0.0
    verdict: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data_hash: str = ""
    agreement: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    depth: int | None = None
    passages: int | None = None
    long_documents: LongDocuments = BEST_WINDOW
    backend: str | None = None
    folded: Calibrator | None = None
    first_stage: str | None = None

    def raw_logits(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the model gave before its calibration was folded in, float64 in the shape of `logits`.

        They have the scale on which the model was trained; a package without folded calibration gives them by itself.
        """
        return self.folded.applied_to(logits) if self.folded else logits.astype(np.float64)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `reranker.json`; call this last, with `file_table(folder)` as `files`."""
    write_json(folder / MANIFEST_FILE, {"kind": KIND, "schema_version": SCHEMA_VERSION, **asdict(manifest)})


def file_table(folder: Path) -> dict[str, dict[str, Any]]:
    """Path, sha256 and size in bytes of every file in the package except `reranker.json`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST_FILE)
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "size": path.stat().st_size} for path in paths
    }


def require_verify(verify: object) -> None:
    """Raise `InputError` unless this is a way to check files."""
    if verify not in _VERIFY:
        raise InputError(f"verify={verify!r}; expected one of: {', '.join(_VERIFY)}")


def read_manifest(folder: Path, verify: Verify = "full") -> Manifest:
    """Read and check `reranker.json`.

    Args:
        folder: the package.
        verify: "full" hashes every file (once per process, unless the file changes), "size" compares sizes, "off"
            checks the manifest only.

    Raises:
        PackageError: the manifest is missing, invalid, of another kind or too new, or a file is missing, changed,
            unlisted or outside the folder.
        InputError: `verify` is none of these values.
    """
    require_verify(verify)
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise PackageError(f"{folder}: not a reranker package (no {MANIFEST_FILE} in it)")
    try:
        manifest = _parse(read_json(path), path)
    except InputError as error:
        raise PackageError(str(error)) from None
    for name, expected in manifest.files.items():
        _check_file(folder, name, expected, verify)
    if verify != "off":
        _refuse_unlisted(folder, manifest)
    return manifest


def _parse(value: Any, path: Path) -> Manifest:
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise PackageError(f"{path}: not the manifest of a crossforge reranker")
    version = value.get("schema_version")
    if not isinstance(version, int) or version is True or not 1 <= version <= SCHEMA_VERSION:
        raise PackageError(
            f"{path}: schema version {version}, but this crossforge reads 1 to {SCHEMA_VERSION}: upgrade crossforge, "
            "or copy the package again"
        )
    known = {key: item for key, item in value.items() if key in Manifest.__dataclass_fields__}
    try:
        folded = Calibrator(**known["folded"]) if known.get("folded") is not None else None
        manifest = Manifest(**{**known, "calibrator": Calibrator(**known["calibrator"]), "folded": folded})
    except (KeyError, TypeError) as error:
        raise PackageError(f"{path}: incomplete manifest ({error})") from None
    wrong = _wrongly_typed(manifest)
    if wrong:
        raise PackageError(f"{path}: {wrong} has an invalid value; copy the package again")
    return manifest


def _is_count(value: object, least: int = 1, most: int = _MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float = -sys.float_info.max, most: float = sys.float_info.max) -> bool:
    """Whether it is a finite number within these bounds; NaN is within none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _are_knots(knots: object) -> bool:
    """Whether these are non-decreasing (logit, probability) points, as interpolation assumes."""
    if not isinstance(knots, list | tuple) or not all(isinstance(knot, list | tuple) for knot in knots):
        return False
    if not all(len(knot) == 2 and all(map(_is_number, knot)) for knot in knots):
        return False
    points = np.asarray(knots, dtype=np.float64)
    if not points.size:
        return True
    return bool((np.diff(points, axis=0) >= 0).all() and points[0, 1] >= 0 and points[-1, 1] <= 1)


def _is_calibrator(found: Calibrator) -> bool:
    return _is_number(found.slope, 0) and _is_number(found.intercept) and _are_knots(found.knots)


def _wrongly_typed(manifest: Manifest) -> str | None:
    """Name of the first field whose value this version would not have written, or None."""

    def is_entry(value: object) -> bool:
        return (
            isinstance(value, Mapping)
            and _is_count(value.get("size"), 0, sys.maxsize)
            and isinstance(value.get("sha256"), str)
        )

    tables = (manifest.verdict, manifest.metrics, manifest.agreement, manifest.versions, manifest.files)
    checks = {
        "base_model": isinstance(manifest.base_model, str),
        "max_length": _is_count(manifest.max_length),
        "calibrator": _is_calibrator(manifest.calibrator),
        "folded": manifest.folded is None
        or (_is_calibrator(manifest.folded) and manifest.folded.slope > 0 and not manifest.folded.knots),
        "threshold": manifest.threshold is None or _is_number(manifest.threshold, 0, 1),
        "depth": manifest.depth is None or _is_count(manifest.depth),
        "passages": manifest.passages is None or _is_count(manifest.passages),
        "long_documents": manifest.long_documents in LONG_DOCUMENTS,
        "backend": manifest.backend is None or isinstance(manifest.backend, str),
        "first_stage": manifest.first_stage is None or isinstance(manifest.first_stage, str),
        "fusion_weight": _is_number(manifest.fusion_weight, 0, 1),
        "verdict, metrics, agreement, versions or files": all(isinstance(table, Mapping) for table in tables),
    }
    wrong = next((name for name, right in checks.items() if not right), None)
    if wrong is None and not all(is_entry(entry) for entry in manifest.files.values()):
        return "files"
    if wrong is None and not all(_is_number(difference, 0) for difference in manifest.agreement.values()):
        return "agreement"
    return wrong


def _refuse_unlisted(folder: Path, manifest: Manifest) -> None:
    """Refuse files that loading would read but the manifest does not list: packaging did not put them there."""
    there = [Path(name) for name in _LOADED if (folder / name).exists()]
    there += [path.relative_to(folder) for path in (folder / FIRST_STAGE_FOLDER).rglob("*") if path.is_file()]
    # Nothing reads hidden files; desktops and editors leave them everywhere.
    for name in (path.as_posix() for path in there if not any(part.startswith(".") for part in path.parts)):
        if name not in manifest.files:
            raise PackageError(f"{folder / name}: not listed in {MANIFEST_FILE}; copy the package again")


def _digest(path: Path) -> str:
    """The file's sha256, computed once per process unless the file is changed or replaced."""
    status = path.stat()
    return _digest_once(
        path.resolve(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


@lru_cache(maxsize=1024)
def _digest_once(path: Path, *_identity: int) -> str:
    return sha256(path)


def _check_file(folder: Path, name: str, expected: Mapping[str, Any], verify: Verify) -> None:
    if not stays_within(name):
        raise PackageError(f"{folder / MANIFEST_FILE}: {name!r} points outside the package")
    if verify == "off":
        return
    path = folder / name
    try:
        is_there = path.is_file()
    except OSError as error:  # a name that no file can have
        raise PackageError(f"{folder / MANIFEST_FILE}: {name[:40]!r}…: {error.strerror}") from None
    if not is_there:
        raise PackageError(f"{path}: listed in {MANIFEST_FILE} but missing; copy the package again")
    if path.stat().st_size != expected["size"] or (verify == "full" and _digest(path) != expected["sha256"]):
        raise PackageError(f"{path}: changed since the package was made; copy the package again")

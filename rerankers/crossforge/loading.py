"""Finds out what kind of reranker a path or hub id is and loads its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crossforge.backends.base import Backend
from crossforge.backends.onnx import MODEL_FILE, OnnxBackend
from crossforge.backends.torch import TorchBackend
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json
from crossforge.manifest import MANIFEST_FILE, Manifest, Verify, read_manifest
from crossforge.tokenization import PairTokenizer

BackendName = Literal["auto", "onnx", "torch"]

# Positions that BERT-like models are made for, where a folder does not say.
_DEFAULT_MAX_LENGTH = 512


@dataclass(frozen=True)
class Parts:
    """What a `Reranker` is made of."""

    tokenizer: PairTokenizer
    backend: Backend
    manifest: Manifest


def load_parts(
    reference: str | Path, *, backend: BackendName, verify: Verify, local_files_only: bool, max_length: int | None
) -> Parts:
    """Load a package, a plain one-label cross-encoder folder, or a hub id.

    Raises:
        PackageError: nothing there, or nothing that can be loaded; see `read_manifest` for packages.
    """
    folder = find_folder(reference, local_files_only)
    manifest = _manifest(folder, verify)
    config = _config(folder)
    length = max_length or manifest.max_length
    return Parts(pair_tokenizer(folder, config, length), _backend(folder, backend), manifest)


def pair_tokenizer(folder: Path, config: Mapping[str, Any], max_length: int) -> PairTokenizer:
    """The folder's tokenizer as the model with this `config.json` wants its input."""
    _require_file(folder / "tokenizer.json")
    segments = int(config.get("type_vocab_size") or 0) > 1  # RoBERTa and others know one segment only
    return PairTokenizer(
        folder / "tokenizer.json", max_length, pad_id=int(config.get("pad_token_id") or 0), segments=segments
    )


def find_folder(reference: str | Path, local_files_only: bool = True) -> Path:
    """The folder of a path, or of a hub id's files: in the local hub cache, or fetched if that is allowed.

    Raises:
        PackageError: neither a folder nor, in the places that may be looked at, a hub id.
    """
    folder = Path(reference)
    if folder.is_dir():
        return folder
    if str(reference).count("/") != 1 or str(reference).startswith((".", "/", "~")):
        raise PackageError(f"{reference}: no such folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(reference), local_files_only=local_files_only))
    except Exception as error:  # huggingface_hub and its HTTP client raise many kinds; all mean "not to be had"
        way_out = "; local_files_only=False would fetch it" if local_files_only else ""
        kind = type(error).__name__
        raise PackageError(f"{reference}: no such folder, and not in the hub cache{way_out} ({kind})") from None


def _manifest(folder: Path, verify: Verify) -> Manifest:
    if (folder / MANIFEST_FILE).is_file():
        return read_manifest(folder, verify)
    return Manifest(base_model=str(folder), max_length=_plain_max_length(folder))


def _plain_max_length(folder: Path) -> int:
    limits = [_config(folder).get("max_position_embeddings", _DEFAULT_MAX_LENGTH)]
    for name, key in (("tokenizer_config.json", "model_max_length"), ("sentence_bert_config.json", "max_seq_length")):
        if (folder / name).is_file():
            limits.append(read_json(folder / name).get(key))
    # Tokenizers without a limit say 1e30.
    return min(int(limit) for limit in limits if limit)


def _config(folder: Path) -> dict[str, Any]:
    _require_file(folder / "config.json")
    try:
        config = read_json(folder / "config.json")
    except InputError as error:
        raise PackageError(str(error)) from None
    labels = len(config.get("id2label") or ["one"])
    if labels != 1:
        raise PackageError(f"{folder}: a classifier with {labels} labels; a reranker has exactly one")
    return dict(config)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise PackageError(f"{path.parent}: no {path.name} in it, so this is no cross-encoder folder")


def _backend(folder: Path, name: BackendName) -> Backend:
    makers: dict[str, Callable[[], Backend]] = {
        "onnx": lambda: OnnxBackend(_existing(folder / MODEL_FILE)),
        "torch": lambda: TorchBackend.load(folder),
    }
    if name == "auto":
        name = "onnx" if (folder / MODEL_FILE).is_file() else "torch"
    if name not in makers:
        raise InputError(f"no backend {name!r}; have auto, {', '.join(makers)}")
    return makers[name]()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise PackageError(f'{path}: missing; this folder runs with backend="torch" only')
    return path

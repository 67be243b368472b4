"""`Encoder`: a bi-encoder exported to ONNX. Its vectors have unit length, so that a dot product is a cosine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import token_budget_batches
from crossforge.errors import PackageError
from crossforge.files import write_json
from crossforge.onnx_sessions import open_session
from crossforge.openvino_sessions import OpenVinoSession
from crossforge.package_files import read_package_json, require_package_file, weights_beside
from crossforge.tokenization import TextTokenizer

MODEL_FILE = "onnx/model.onnx"
TOKENIZER_FILE = "tokenizer.json"
_MAP_FILE = "query_map.npy"
OUTPUT = "unit_vector"
_SETTINGS_FILE = "encoder.json"
_KIND = "crossforge-encoder-1"

Role = Literal["query", "document"]
Vectors = NDArray[np.float32]
# Called with the number of texts embedded since the last call.
Progress = Callable[[int], None]
# The unit vectors of a padded batch, by the names of the model's inputs.
Compute = Callable[[Mapping[str, NDArray[np.int64]]], Vectors]


class Embedder(Protocol):
    """Embeds texts."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str], role: Role, progress: Progress | None = None) -> Vectors:
        """A unit vector for each text, float32 of shape (texts, dimension)."""
        ...


@dataclass(frozen=True)
class EncoderSettings:
    """What an encoder folder says of its model.

    Attributes:
        model: name of the bi-encoder.
        dimension: length of a vector.
        max_length: tokens read of a text, special tokens included; the rest is cut off.
        pad_id: id of the padding token.
        inputs: the model's inputs, in order.
        query_prompt: what is put in front of queries.
        document_prompt: what is put in front of documents.
        query_map: whether a linear map moves the queries' vectors.
    """

    model: str
    dimension: int
    max_length: int
    pad_id: int
    inputs: tuple[str, ...]
    query_prompt: str = ""
    document_prompt: str = ""
    query_map: bool = False

    @property
    def description(self) -> str:
        """The model in a few words."""
        moved = ", with a query map" if self.query_map else ""
        return f"{self.model}, {self.max_length} tokens, {self.dimension} dimensions{moved}"


class Encoder:
    """Runs a bi-encoder on the CPU; safe to call from several threads.

    Args:
        folder: holds `encoder.json`, `tokenizer.json`, `onnx/model.onnx` and, if queries are moved, `query_map.npy`.
        bf16: compute in half precision with OpenVINO: more than twice as fast on a CPU made for it, and cosines differ
            by some thousandths at most. Otherwise ONNX Runtime computes in fp32.

    Raises:
        PackageError: the folder is no encoder, its model cannot be loaded, or bf16 cannot be had here.
    """

    def __init__(self, folder: Path, *, bf16: bool = False) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        self._tokenizer = TextTokenizer(folder / TOKENIZER_FILE, self.settings.max_length, pad_id=self.settings.pad_id)
        self.query_map = _read_map(folder / _MAP_FILE, self.dimension) if self.settings.query_map else None
        require_package_file(folder / MODEL_FILE)
        self._compute = _in_bf16(folder / MODEL_FILE) if bf16 else _in_fp32(folder / MODEL_FILE)

    @property
    def dimension(self) -> int:
        """See `Embedder`."""
        return self.settings.dimension

    def embed(self, texts: Sequence[str], role: Role, progress: Progress | None = None) -> Vectors:
        """See `Embedder`; texts of similar length are embedded together, so that little is padded."""
        prompt = self.settings.query_prompt if role == "query" else self.settings.document_prompt
        encoded = self._tokenizer.encode([prompt + text for text in texts])
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in token_budget_batches([len(ids) for ids in encoded]):
            arrays = self._tokenizer.pad([encoded[position] for position in batch])
            vectors[batch] = self._compute({name: arrays[name] for name in self.settings.inputs})
            if progress:
                progress(len(batch))
        return vectors if role == "document" or self.query_map is None else moved(vectors, self.query_map)

    def with_query_map(self, query_map: Vectors | None) -> Encoder:
        """The same encoder, with or without a map of shape (dimension, dimension) that multiplies queries' vectors."""
        found = copy(self)
        found.settings = replace(self.settings, query_map=query_map is not None)
        found.query_map = query_map
        return found

    def save(self, folder: Path) -> None:
        """Write the encoder's folder."""
        (folder / MODEL_FILE).parent.mkdir(parents=True)
        model = self.folder / MODEL_FILE
        copied = [self.folder / TOKENIZER_FILE, model, *filter(Path.is_file, [weights_beside(model)])]
        for path in copied:
            shutil.copyfile(path, folder / path.relative_to(self.folder))
        if self.query_map is not None:
            np.save(folder / _MAP_FILE, self.query_map, allow_pickle=False)
        write_settings(folder, self.settings)


def _in_fp32(path: Path) -> Compute:
    session = open_session(path)

    def compute(batch: Mapping[str, NDArray[np.int64]]) -> Vectors:
        (found,) = session.run([OUTPUT], dict(batch))
        return np.asarray(found, dtype=np.float32)

    return compute


def _in_bf16(path: Path) -> Compute:
    return OpenVinoSession(path, bf16=True).output


def moved(queries: Vectors, query_map: Vectors) -> Vectors:
    """Vectors multiplied by a map, of unit length again; shape (queries, dimension)."""
    found: Vectors = queries @ query_map
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return found


def write_settings(folder: Path, settings: EncoderSettings) -> None:
    """Write `encoder.json`, which makes a folder an encoder."""
    write_json(folder / _SETTINGS_FILE, {"kind": _KIND, **asdict(settings)})


def read_settings(folder: Path) -> EncoderSettings:
    """Read `encoder.json`.

    Raises:
        PackageError: it is missing, or of another kind.
    """
    found = read_package_json(folder / _SETTINGS_FILE)
    if found.pop("kind", None) != _KIND:
        raise PackageError(f"{folder / _SETTINGS_FILE}: not an encoder of this version ({_KIND}); export it again")
    try:
        return EncoderSettings(**{**found, "inputs": tuple(found["inputs"])})
    except (KeyError, TypeError):
        raise PackageError(f"{folder / _SETTINGS_FILE}: damaged; export the encoder again") from None


def _read_map(path: Path, dimension: int) -> Vectors:
    try:
        found: Vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PackageError(f"{path}: missing or damaged ({error})") from None
    if found.shape != (dimension, dimension) or found.dtype != np.float32 or not np.isfinite(found).all():
        raise PackageError(f"{path}: not a float32 map of {dimension} x {dimension} finite numbers")
    return found


def is_encoder(folder: Path) -> bool:
    """Whether a folder is an encoder."""
    return (folder / _SETTINGS_FILE).is_file()

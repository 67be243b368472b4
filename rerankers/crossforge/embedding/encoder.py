"""`Encoder`: a bi-encoder exported to ONNX. Its vectors have unit length, so that a dot product is a cosine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import token_budget_batches
from crossforge.errors import PackageError
from crossforge.files import sha256, write_json
from crossforge.package_files import read_package_json, require_package_file
from crossforge.tokenization import TextTokenizer

MODEL_FILE = "onnx/model.onnx"
OUTPUT = "unit_vector"
_SETTINGS_FILE = "encoder.json"
_KIND = "crossforge-encoder-1"

Role = Literal["query", "document"]
Vectors = NDArray[np.float32]
# Called with the number of texts embedded since the last call.
Progress = Callable[[int], None]


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
    """

    model: str
    dimension: int
    max_length: int
    pad_id: int
    inputs: tuple[str, ...]
    query_prompt: str = ""
    document_prompt: str = ""

    @property
    def description(self) -> str:
        """The model in a few words."""
        return f"{self.model}, {self.max_length} tokens, {self.dimension} dimensions"


class Encoder:
    """Runs a bi-encoder on the CPU; safe to call from several threads.

    Args:
        folder: holds `encoder.json`, `tokenizer.json` and `onnx/model.onnx`.

    Raises:
        PackageError: the folder is no encoder, or its model cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        self.folder = folder
        self.settings = read_settings(folder)
        self._tokenizer = TextTokenizer(
            folder / "tokenizer.json", self.settings.max_length, pad_id=self.settings.pad_id
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        require_package_file(folder / MODEL_FILE)
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / MODEL_FILE), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises its own classes, which are not exported
            raise PackageError(f"{folder / MODEL_FILE}: ONNX Runtime cannot load it ({error})") from None

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
            given = {name: arrays[name] for name in self.settings.inputs}
            (vectors[batch],) = self._session.run([OUTPUT], given)
            if progress:
                progress(len(batch))
        return vectors


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


def is_encoder(folder: Path) -> bool:
    """Whether a folder is an encoder."""
    return (folder / _SETTINGS_FILE).is_file()


def encoder_hash(folder: Path) -> dict[str, Any]:
    """What an encoder's vectors depend on: its settings, and the hashes of model and tokenizer."""
    files = ("tokenizer.json", MODEL_FILE)
    return {**asdict(read_settings(folder)), **{name: sha256(folder / name) for name in files}}

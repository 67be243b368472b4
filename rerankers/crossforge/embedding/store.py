"""`EmbeddingStore`: vectors of texts that were embedded already, so that a killed or repeated run embeds only the rest.

Each block of texts is a file of its own, written completely or not at all, so that several processes may share a store.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.embedding.encoder import Embedder, Progress, Vectors
from crossforge.errors import PackageError
from crossforge.files import written_atomically

# Embeds blocks of documents' texts, read as they are needed: the vectors of each, in their order. `Progress` is told of
# all texts.
EmbedBlocks = Callable[[Iterable[list[str]], Progress | None], Iterator[Vectors]]

# Texts a file: some seconds' work, which is what a killed run loses; among so many, lengths sort well.
_BLOCK = 1024
_KEY_BYTES = 16


class EmbeddingStore:
    """Documents' vectors in float16, by the hash of the text.

    Args:
        folder: of the store; made if it is not there. It holds the vectors of one embedder.
        embedder: embeds the texts that are not stored.
        embed_blocks: embeds them instead, where other processes help.
    """

    def __init__(self, folder: Path, embedder: Embedder, embed_blocks: EmbedBlocks | None = None) -> None:
        self._folder = folder
        self._dimension = embedder.dimension
        self._embed_blocks = embed_blocks or _one_by_one(embedder)
        self._rows: dict[bytes, tuple[Path, int]] = {}
        for path in sorted(folder.glob("*.npz")):
            self._learn(path, _read(path, "keys"))

    def vectors(
        self, texts: Iterable[str], count: int, progress: Progress | None = None, file: Path | None = None
    ) -> NDArray[np.float16]:
        """The vectors of documents' texts, float16 of shape (count, dimension).

        Args:
            texts: read once, and never held as a whole.
            count: how many there are.
            progress: called with numbers of texts, stored ones included; not before there is one to embed, so that
                nothing need be shown where all are stored.
            file: an array to write, `.npy`; the vectors stay there and are mapped. None holds them in memory.
        """
        wanted: list[bytes] = []
        waiting: deque[list[bytes]] = deque()  # keys of the blocks that are being embedded
        told = 0

        def new_blocks() -> Iterator[list[str]]:
            nonlocal told
            for block in blocks(texts, _BLOCK):
                keys = [_key(text) for text in block]
                new = {key: text for key, text in zip(keys, block, strict=True) if key not in self._rows}
                wanted.extend(keys)
                if new:
                    if progress:
                        progress(len(wanted) - len(new) - told)
                    told = len(wanted)
                    waiting.append(list(new))
                    yield list(new.values())

        for vectors in self._embed_blocks(new_blocks(), progress):
            self._add(waiting.popleft(), vectors)
        if progress and 0 < told < count:
            progress(count - told)
        shape = count, self._dimension
        found = np.empty(shape, dtype=np.float16) if file is None else _new_array(file, shape)
        self._fill(found, wanted)
        if isinstance(found, np.memmap):
            found.flush()  # for readers on other machines
        return found

    def missing(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts that are not stored."""
        return (text for text in texts if _key(text) not in self._rows)

    def add(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Store the vectors of documents' texts, shape (texts, dimension), which the store's embedder has made."""
        self._add([_key(text) for text in texts], vectors)

    def _add(self, keys: list[bytes], vectors: Vectors) -> None:
        packed = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), _KEY_BYTES)
        path = self._folder / f"{hashlib.blake2b(packed.tobytes(), digest_size=_KEY_BYTES).hexdigest()}.npz"
        with written_atomically(path) as beside, beside.open("wb") as stream:
            np.savez(stream, keys=packed, vectors=vectors.astype(np.float16))
        self._learn(path, packed)

    def _learn(self, path: Path, keys: NDArray[np.uint8]) -> None:
        self._rows.update((key.tobytes(), (path, row)) for row, key in enumerate(keys))

    def _fill(self, found: NDArray[np.float16], wanted: list[bytes]) -> None:
        """Copy the rows, reading each file once."""
        places: dict[Path, list[tuple[int, int]]] = {}
        for position, key in enumerate(wanted):
            path, row = self._rows[key]
            places.setdefault(path, []).append((position, row))
        for path, pairs in places.items():
            positions, rows = np.array(pairs).T
            found[positions] = _read(path, "vectors")[rows]


def _one_by_one(embedder: Embedder) -> EmbedBlocks:
    return lambda found, progress: (embedder.embed(texts, "document", progress) for texts in found)


def _read(path: Path, name: str) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[name])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise PackageError(f"{path}: damaged ({error}); delete it, and its texts are embedded again") from None


def _new_array(file: Path, shape: tuple[int, int]) -> NDArray[np.float16]:
    """An array that is mapped from a new file. Its space is taken now: a full disk would end the process later."""
    file.parent.mkdir(parents=True, exist_ok=True)
    found = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    return found


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=_KEY_BYTES).digest()

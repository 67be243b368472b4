"""`ArrowCorpus`: documents in a memory-mapped Arrow table, looked up by id.

A million documents are a few columns of bytes; a `Document` object is created only when it is looked up.
"""

from __future__ import annotations

import json
import mmap
import tempfile
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import written_atomically

_SCHEMA = pa.schema(
    [("doc_id", pa.large_string()), ("title", pa.large_string()), ("text", pa.large_string()),
     ("metadata", pa.large_string())]
)  # fmt: skip
_BATCH = 8192
TABLE_FILE = "corpus.arrow"
_IDS_FILE = "corpus.ids.arrow"


class ArrowCorpus(Mapping[str, Document]):
    """Document id -> document, in corpus order. Create one with `from_documents` or `load`.

    Args:
        table: columns doc_id, title, text, metadata (a JSON object, or null for none).
        keys: 64-bit hashes of the ids, ascending, shape (documents,).
        rows: row in `table` of each key, shape (documents,).
    """

    def __init__(self, table: pa.Table, keys: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        self._table = table
        self._keys = keys
        self._rows = rows

    @classmethod
    def from_documents(cls, documents: Iterable[Document]) -> ArrowCorpus:
        """Store documents with distinct ids, a batch at a time.

        The table is in an unnamed file in the system's temporary folder, which is deleted with the corpus.

        Raises:
            InputError: two documents have the same id.
        """
        table = _spooled(documents)
        keys = np.fromiter((_key(doc_id.as_py()) for doc_id in table["doc_id"]), np.uint64, table.num_rows)
        rows = np.argsort(keys, kind="stable").astype(np.int64)
        corpus = cls(table, keys[rows], rows)
        corpus._refuse_duplicate_ids()
        return corpus

    @classmethod
    def load(cls, folder: Path) -> ArrowCorpus:
        """Map files written by `save`; texts are read from disk when they are looked up.

        Raises:
            InputError: the files are missing or damaged.
        """
        table, ids = _mapped(folder / TABLE_FILE), _mapped(folder / _IDS_FILE)
        if table.schema != _SCHEMA or ids.num_rows != table.num_rows:
            raise InputError(f"{folder}: {TABLE_FILE} and {_IDS_FILE} do not belong together; collect the corpus again")
        return cls(table, _column(ids, "key"), _column(ids, "row"))

    def save(self, folder: Path) -> None:
        """Write the documents and the index of their ids into `folder`."""
        _write(folder / TABLE_FILE, self._table, _BATCH)
        # The ids go into one batch: a single-chunk column becomes an array without a copy.
        _write(folder / _IDS_FILE, pa.table({"key": self._keys, "row": self._rows}), len(self))

    def __getitem__(self, doc_id: str) -> Document:
        row = self._row(doc_id)
        if row is None:
            raise KeyError(doc_id)
        title, text, metadata = (self._table[name][row].as_py() for name in ("title", "text", "metadata"))
        return _as_document(doc_id, title, text, metadata)

    def __contains__(self, doc_id: object) -> bool:
        return isinstance(doc_id, str) and self._row(doc_id) is not None

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[str]:
        for batch in self._table.select(["doc_id"]).to_batches():
            yield from batch.column(0).to_pylist()

    def values(self) -> ValuesView[Document]:
        """The documents in corpus order, read in batches."""
        return _Documents(self)

    def items(self) -> ItemsView[str, Document]:
        """The ids and documents in corpus order, read in batches."""
        return _Items(self)

    def part(self, start: int, stop: int) -> ArrowCorpus:
        """The documents from row `start` to before row `stop`; their texts stay where they are."""
        inside = (self._rows >= start) & (self._rows < stop)
        return ArrowCorpus(self._table.slice(start, stop - start), self._keys[inside], self._rows[inside] - start)

    def _stream(self) -> Iterator[Document]:
        for batch in self._table.to_batches(_BATCH):
            for doc_id, title, text, metadata in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield _as_document(doc_id, title, text, metadata)

    def _row(self, doc_id: str) -> int | None:
        key = np.uint64(_key(doc_id))
        position = int(np.searchsorted(self._keys, key))
        while position < len(self._keys) and self._keys[position] == key:  # ids with equal hashes are adjacent
            row = int(self._rows[position])
            if self._table["doc_id"][row].as_py() == doc_id:
                return row
            position += 1
        return None

    def _refuse_duplicate_ids(self) -> None:
        for position in np.flatnonzero(self._keys[1:] == self._keys[:-1]):
            row = int(self._rows[position + 1])
            doc_id = self._table["doc_id"][row].as_py()
            if self._row(doc_id) != row:
                raise InputError(f"two documents have the id {doc_id!r}; ids must be unique")


class _Documents(ValuesView[Document]):
    _mapping: ArrowCorpus

    def __iter__(self) -> Iterator[Document]:
        return self._mapping._stream()


class _Items(ItemsView[str, Document]):
    _mapping: ArrowCorpus

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        return ((document.doc_id, document) for document in self._mapping._stream())


def _spooled(documents: Iterable[Document]) -> pa.Table:
    with tempfile.TemporaryFile() as spool:
        with pa.ipc.new_file(spool, _SCHEMA) as writer:
            for block in blocks(documents, _BATCH):
                writer.write_batch(_as_batch(block))
        spool.flush()
        mapped = mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_file(pa.py_buffer(mapped)).read_all()


def _as_batch(documents: list[Document]) -> pa.RecordBatch:
    columns = [
        [storable(found.doc_id) for found in documents],
        [storable(found.title) for found in documents],
        [storable(found.text) for found in documents],
        [_as_json(found.metadata) for found in documents],
    ]
    return pa.RecordBatch.from_arrays([pa.array(column, pa.large_string()) for column in columns], schema=_SCHEMA)


def _as_document(doc_id: str, title: str, text: str, metadata: str | None) -> Document:
    return Document(doc_id, text, title, json.loads(metadata) if metadata else {})


def _as_json(metadata: Mapping[str, Any]) -> str | None:
    return json.dumps(dict(metadata), default=str) if metadata else None


def storable(text: str) -> str:
    """Replace lone surrogates, which cannot be encoded in UTF-8, by "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _key(doc_id: str) -> int:
    return int.from_bytes(blake2b(doc_id.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _write(path: Path, table: pa.Table, batch: int) -> None:
    with (
        written_atomically(path) as beside,
        pa.OSFile(str(beside), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=max(1, batch))


def _mapped(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: damaged ({error})") from None


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(table[name].to_numpy())

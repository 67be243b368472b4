"""LangChain's documents, and a set of queries with the ids of what is relevant to them.

LangChain has no format for such a set. Documents are what `Document.model_dump_json` or `dumps` writes; queries are an
object of query → ids, or rows with a query and ids, such as the examples that LangSmith exports, where they stand under
`inputs` and `outputs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.readers.assembly import Placed, distinct
from crossforge_train.collections.readers.examples import Example, Text, read_examples, read_records
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import Row, checked_id
from crossforge_train.config.other_tools import LangChainSource


def read_langchain(source: LangChainSource) -> Collection:
    """Read the documents, and the queries of each split.

    Raises:
        InputError: a file cannot be read, a document has no id, or a query names a document that is not there.
    """
    documents = (_document(row, source.id_key) for row in read_records(source.documents))
    corpus = ArrowCorpus.from_documents(distinct(documents))
    splits = {split: _examples(path, source) for split, path in source.queries.items()}
    return read_examples(source.documents.name.split(".")[0], splits, corpus)


def files_of(source: LangChainSource) -> list[Path]:
    """What is read."""
    return [source.documents, *source.queries.values()]


def _document(row: Row, id_key: str | None) -> Placed:
    # `dumps` wraps a document into a constructor call.
    found = row.values["kwargs"] if isinstance(row.values.get("kwargs"), dict) else row.values
    text, metadata = found.get("page_content"), found.get("metadata") or {}
    if not isinstance(text, str) or not isinstance(metadata, dict):
        raise InputError(f"{row.where}: no text under 'page_content'; keys here: {', '.join(map(str, found))}")
    doc_id = found.get("id") if id_key is None else metadata.get(id_key)
    if not isinstance(doc_id, str | int):
        place = "under 'id'; name the key of the metadata that holds one as collection.langchain.id_key"
        raise InputError(f"{row.where}: no id {place if id_key is None else f'in the metadata under {id_key!r}'}")
    title = metadata.get("title")
    return Placed(
        row.where,
        Document(checked_id(str(doc_id), row.where), text, title if isinstance(title, str) else "", metadata),
    )


def _examples(path: Path, source: LangChainSource) -> Iterator[Example]:
    for where, query, ids in _answers(path, source):
        if not isinstance(query, str):
            raise InputError(f"{where}: {query!r:.60} where a query is expected")
        if not isinstance(ids, list) or not ids:
            raise InputError(f"{where}: {ids!r:.60} where a list of document ids is expected")
        yield Example(where, query, [(Text("", doc_id=str(doc_id)), 1) for doc_id in ids])


def _answers(path: Path, source: LangChainSource) -> Iterator[tuple[str, Any, Any]]:
    """Place, query and ids of each entry."""
    if path.suffix == ".json" and isinstance(content := read_json(path), dict):
        for query, ids in content.items():
            yield f"{path}, {query!r:.60}", query, ids
        return
    for row in read_records(path):
        inputs, outputs = (row.values.get(name) for name in ("inputs", "outputs"))
        asked = inputs if isinstance(inputs, dict) else row.values
        answered = outputs if isinstance(outputs, dict) else row.values
        for key, found in ((source.query_key, asked), (source.ids_key, answered)):
            if key not in found:
                raise InputError(f"{row.where}: no {key!r} in it; keys here: {', '.join(map(str, found))}")
        yield row.where, asked[source.query_key], answered[source.ids_key]


READER = Reader(read_langchain, lambda source: file_hashes(files_of(source)))

"""LlamaIndex's `EmbeddingQAFinetuneDataset`, as `save_json` writes it: `queries`, `corpus`, `relevant_docs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.readers.assembly import Judgement, Placed, Query, distinct, judged_collection, some
from crossforge_train.collections.readers.examples import collection_name
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import checked_id
from crossforge_train.config.other_tools import LlamaIndexSource


def read_llama_index(source: LlamaIndexSource) -> Collection:
    """Read the file of each split; a document that stands in several of them is one.

    Raises:
        InputError: a file cannot be read or lacks a part, an id stands for two texts, or a judgement points nowhere.
    """
    files = {split: (path, _parts(path)) for split, path in source.files.items()}
    first = next(iter(source.files.values()))
    documents = some(_documents(files), f"{first}: no documents in it")
    return judged_collection(
        collection_name(source.files),
        ArrowCorpus.from_documents(distinct(documents)),
        _queries(files),
        {split: some(_judgements(*found), f"{found[0]}: no judgements in it") for split, found in files.items()},
    )


_PARTS = ("queries", "corpus", "relevant_docs")
_Parts = Mapping[str, Mapping[str, Any]]
_Files = Mapping[str, tuple[Path, _Parts]]


def _parts(path: Path) -> _Parts:
    content: Any = read_json(path)
    for name in _PARTS:
        if not isinstance(content, dict) or not isinstance(content.get(name), dict):
            raise InputError(
                f"{path}: no object under {name!r}; EmbeddingQAFinetuneDataset.save_json writes such files"
            )
    return {name: content[name] for name in _PARTS}


def _documents(files: _Files) -> Iterator[Placed]:
    known: dict[str, str] = {}
    for path, parts in files.values():
        for doc_id, text in parts["corpus"].items():
            where = f"{path}, corpus, {doc_id!r}"
            if known.setdefault(doc_id, _text(text, where)) != text:
                raise InputError(f"{where}: the id stands for another text in an earlier file")
    for doc_id, text in known.items():
        where = f"{next(iter(files.values()))[0]}, corpus, {doc_id!r}"
        yield Placed(where, Document(checked_id(doc_id, where), text))


def _queries(files: _Files) -> Iterator[Query]:
    for path, parts in files.values():
        for query_id, text in parts["queries"].items():
            where = f"{path}, queries, {query_id!r}"
            yield Query(where, checked_id(query_id, where), _text(text, where), {})


def _judgements(path: Path, parts: _Parts) -> Iterator[Judgement]:
    for query_id, doc_ids in parts["relevant_docs"].items():
        where = f"{path}, relevant_docs, {query_id!r}"
        if not isinstance(doc_ids, list):
            raise InputError(f"{where}: {doc_ids!r:.60} where a list of document ids is expected")
        for doc_id in doc_ids:
            yield Judgement(where, query_id, str(doc_id), 1)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: {value!r:.60} where a text is expected")
    return value


READER = Reader(read_llama_index, lambda source: file_hashes(source.files.values()))

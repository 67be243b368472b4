"""Reads and writes the BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from crossforge.documents import Document, json_metadata
from crossforge.errors import InputError
from crossforge.files import read_jsonl, read_lines, write_jsonl, write_tsv
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.places import missing_folder
from crossforge_train.collections.readers.assembly import (
    Judgement,
    Query,
    distinct,
    judged_collection,
    plain_documents,
    some,
)
from crossforge_train.collections.readers.grades import whole_number
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import checked_id, is_number, read_rows

QRELS_HEADER = ("query-id", "corpus-id", "score")


def read_beir(folder: Path, name: str | None = None) -> Collection:
    """Read a BEIR folder, whose files may be gzipped (.gz); every `qrels/*.tsv` is a split.

    Raises:
        InputError: a file is missing or malformed, an id is not unique, or a judgement refers to an unknown id; the
            message names file and line.
    """
    if not folder.is_dir():
        raise missing_folder(folder)
    corpus_file = beir_files(folder)[0]
    documents = distinct(some(plain_documents(read_rows(corpus_file)), f"{corpus_file}: no documents in it"))
    return read_judged(folder, ArrowCorpus.from_documents(documents), name)


def read_judged(
    folder: Path, corpus: Mapping[str, Document], name: str | None = None, *, known_only: bool = False
) -> Collection:
    """Read the queries and judgements of a BEIR folder, given its documents.

    Args:
        folder: in BEIR layout; its own documents are not read.
        corpus: the documents.
        name: of the collection; None is the folder's.
        known_only: pass over judgements of documents that are not, or no longer, in the corpus.

    Raises:
        InputError: as in `read_beir`.
    """
    _, queries_file, *qrels_files = beir_files(folder)
    if not qrels_files:
        raise InputError(f"{folder / 'qrels'}: no judgements; expected qrels/train.tsv, qrels/test.tsv or the like")
    judgements = {
        path.name.removesuffix(".gz").removesuffix(".tsv"): some(
            read_qrels(path, corpus), f"{path}: no judgements in it"
        )
        for path in qrels_files
    }
    if known_only:
        judgements = {
            split: (judgement for judgement in found if judgement.doc_id in corpus)
            for split, found in judgements.items()
        }
    return judged_collection(name or folder.resolve().name, corpus, _queries(queries_file), judgements)


def beir_files(folder: Path) -> list[Path]:
    """The files for corpus, queries, and each split's judgements; gzipped ones where there is no plain file."""
    tables = [_packed_or_not(folder / name) for name in ("corpus.jsonl", "queries.jsonl")]
    splits = {path.name.removesuffix(".gz") for path in (folder / "qrels").glob("*.tsv*")}
    return [*tables, *(_packed_or_not(folder / "qrels" / name) for name in sorted(splits) if name.endswith(".tsv"))]


def write_beir(folder: Path, collection: Collection) -> None:
    """Write a collection in BEIR layout into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = (
        {
            "_id": found.doc_id,
            "title": found.title,
            "text": found.text,
            **_as_metadata(found.metadata, f"document {found.doc_id!r}"),
        }
        for found in collection.corpus.values()
    )
    write_jsonl(folder / "corpus.jsonl", documents)
    write_judged(folder, collection)


def write_judged(folder: Path, collection: Collection) -> None:
    """Write queries and judgements in BEIR layout into `folder`."""
    queries = (
        {"_id": key, "text": text, **_as_metadata(collection.query_fields.get(key), f"query {key!r}")}
        for key, text in collection.queries.items()
    )
    write_jsonl(folder / "queries.jsonl", queries)
    for split, qrels in collection.splits.items():
        write_qrels(folder / "qrels" / f"{split}.tsv", qrels)


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write judgements in the format of `read_qrels`, atomically."""
    rows = [(query_id, doc_id, str(label)) for query_id, judged in qrels.items() for doc_id, label in judged.items()]
    write_tsv(path, QRELS_HEADER, rows)


def _packed_or_not(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    return packed if packed.is_file() and not path.is_file() else path


def _as_metadata(fields: Any, whose: str) -> dict[str, Any]:
    return {"metadata": json_metadata(fields, whose)} if fields else {}


def _queries(path: Path) -> Iterator[Query]:
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        query_id, text, metadata = row.get("_id"), row.get("text"), row.get("metadata") or {}
        if query_id is None or not isinstance(text, str):
            raise InputError(f'{where}: a query needs "_id" and a string under "text"; keys here: {", ".join(row)}')
        if not isinstance(metadata, dict):
            raise InputError(f'{where}: "metadata" of a query is a {type(metadata).__name__}, not a mapping')
        fields = {key: value for key, value in row.items() if key not in ("_id", "text", "metadata")}
        yield Query(where, checked_id(str(query_id), where), text, {**metadata, **fields})


def read_qrels(path: Path, corpus: Container[str] = ()) -> Iterator[Judgement]:
    """Yield the judgements of a `qrels/SPLIT.tsv`, of three columns or of TREC's four; its header is optional.

    Args:
        path: the file.
        corpus: ids of documents, if they are known; a first line that names one of them is no header.

    Raises:
        InputError: the file cannot be read, or a line has another number of columns or no whole number as its label.
    """
    rows = ((number, line) for number, line in enumerate(read_lines(path), start=1) if line.strip())
    for position, (number, line) in enumerate(rows):
        where, cells = f"{path}, line {number}", line.rstrip("\r\n").split("\t")
        if len(cells) not in (3, 4):
            raise InputError(
                f"{where}: {len(cells)} tab-separated columns; expected query-id, corpus-id, score, or TREC's four"
            )
        query_id, *_, doc_id, label = cells
        if position or is_number(label) or doc_id in corpus:
            yield Judgement(where, query_id, doc_id, whole_number(label, where))


READER = Reader(read_beir, lambda folder: file_hashes(beir_files(folder)))

"""Reads and writes the BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from crossforge.documents import Document, read_documents
from crossforge.errors import InputError
from crossforge.files import read_jsonl, write_jsonl, written_atomically
from crossforge_train.collections.collection import Collection, Qrels

_HEADER = ("query-id", "corpus-id", "score")


def read_beir(folder: Path, name: str | None = None) -> Collection:
    """Read a BEIR folder; every `qrels/*.tsv` is a split.

    Raises:
        InputError: a file is missing or malformed, an id stands twice, or qrels point nowhere; file and line are named.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    corpus = {document.doc_id: document for document in _checked_ids(folder / "corpus.jsonl")}
    queries = dict(_read_queries(folder / "queries.jsonl"))
    qrels_files = sorted((folder / "qrels").glob("*.tsv"))
    if not qrels_files:
        raise InputError(f"{folder / 'qrels'}: no judgements; expected qrels/train.tsv, qrels/test.tsv or the like")
    splits = {path.stem: _read_qrels(path, corpus, queries) for path in qrels_files}
    return Collection(name or folder.resolve().name, corpus, queries, splits)


def write_beir(folder: Path, collection: Collection) -> None:
    """Write a collection in BEIR layout into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(
        folder / "corpus.jsonl",
        [{"_id": found.doc_id, "title": found.title, "text": found.text} for found in collection.corpus.values()],
    )
    write_jsonl(folder / "queries.jsonl", [{"_id": key, "text": text} for key, text in collection.queries.items()])
    (folder / "qrels").mkdir(exist_ok=True)
    for split, qrels in collection.splits.items():
        with (
            written_atomically(folder / "qrels" / f"{split}.tsv") as beside,
            beside.open("w", encoding="utf-8") as lines,
        ):
            lines.write("\t".join(_HEADER) + "\n")
            for query_id, judgements in qrels.items():
                lines.writelines(f"{query_id}\t{doc_id}\t{relevance}\n" for doc_id, relevance in judgements.items())


def _checked_ids(path: Path) -> Iterator[Document]:
    for document in read_documents(path):
        if any(character.isspace() for character in document.doc_id):
            raise InputError(
                f"{path}: the id {document.doc_id!r} holds a space, which TREC runs and qrels cannot carry"
            )
        yield document


def _read_queries(path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for number, row in read_jsonl(path):
        query_id, text = row.get("_id"), row.get("text")
        if query_id is None or not isinstance(text, str):
            raise InputError(f'{path}, line {number}: a query needs "_id" and a string under "text"')
        if str(query_id) in seen:
            raise InputError(f"{path}, line {number}: the query id {query_id!r} stands twice")
        seen.add(str(query_id))
        yield str(query_id), text


def _read_qrels(path: Path, corpus: dict[str, Document], queries: dict[str, str]) -> Qrels:
    qrels: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
            if not row or (number == 1 and tuple(row) == _HEADER):
                continue
            try:
                query_id, doc_id, relevance = row[0], row[1], int(float(row[2]))
            except (IndexError, ValueError):
                raise InputError(
                    f"{path}, line {number}: expected query-id, corpus-id and a number, tab-separated"
                ) from None
            for kind, key, known in (("query", query_id, queries), ("document", doc_id, corpus)):
                if key not in known:
                    raise InputError(f"{path}, line {number}: there is no {kind} {key!r}")
            qrels.setdefault(query_id, {})[doc_id] = relevance
    if not qrels:
        raise InputError(f"{path}: no judgements in it")
    return qrels

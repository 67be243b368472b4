"""Reads and writes the BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crossforge.documents import Document, read_documents
from crossforge.errors import InputError
from crossforge.files import read_jsonl, read_lines, write_jsonl, written_atomically
from crossforge_train.collections.collection import Collection, Qrels

_HEADER = ("query-id", "corpus-id", "score")


def read_beir(folder: Path, name: str | None = None) -> Collection:
    """Read a BEIR folder; every `qrels/*.tsv` is a split.

    Raises:
        InputError: a file is missing or malformed, an id stands twice, or qrels point nowhere; file and line are named.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    corpus = {document.doc_id: document for document in read_documents(folder / "corpus.jsonl", _check_id)}
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


def _check_id(key: str) -> None:
    if not key or any(character.isspace() for character in key):
        raise InputError(f"the id {key!r} is empty or holds a space, which TREC runs and qrels cannot carry")


def _read_queries(path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        query_id, text = row.get("_id"), row.get("text")
        if query_id is None or not isinstance(text, str):
            raise InputError(f'{where}: a query needs "_id" and a string under "text"')
        try:
            _check_id(str(query_id))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if str(query_id) in seen:
            raise InputError(f"{where}: the query id {query_id!r} stands twice")
        seen.add(str(query_id))
        yield str(query_id), text


def _read_qrels(path: Path, corpus: Mapping[str, Document], queries: Mapping[str, str]) -> Qrels:
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        row = line.rstrip("\r\n").split("\t")
        if line.strip() and not (number == 1 and tuple(row) == _HEADER):
            query_id, doc_id, relevance = _judgement(row, f"{path}, line {number}", corpus, queries)
            qrels.setdefault(query_id, {})[doc_id] = relevance
    if not qrels:
        raise InputError(f"{path}: no judgements in it")
    return qrels


def _judgement(
    row: Sequence[str], where: str, corpus: Mapping[str, Document], queries: Mapping[str, str]
) -> tuple[str, str, int]:
    try:
        query_id, doc_id, relevance = row[0], row[1], float(row[2])
    except (IndexError, ValueError):
        raise InputError(f"{where}: expected query-id, corpus-id and a number, tab-separated") from None
    if not relevance.is_integer():
        raise InputError(f"{where}: the score {row[2]} is no whole number")
    if query_id not in queries:
        raise InputError(f"{where}: there is no query {query_id!r}")
    if doc_id not in corpus:
        raise InputError(f"{where}: there is no document {doc_id!r}")
    if not queries[query_id].strip():
        raise InputError(f"{where}: query {query_id!r} is empty")
    return query_id, doc_id, int(relevance)

"""Corpus, queries and judgements as separate tables: JSONL, CSV, TSV or Parquet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.assembly import assemble, documents_of, judgements_of, queries_of, some
from crossforge_train.collections.readers.grades import Grading
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import read_rows
from crossforge_train.config.sources import FilesSource


def read_files(source: FilesSource) -> Collection:
    """Read the tables; all columns that the source does not name are kept as metadata.

    Raises:
        InputError: a table cannot be read, a row is malformed, or judgements point nowhere.
    """
    grading = Grading("collection.files.thresholds", source.thresholds)
    documents = documents_of(read_rows(source.corpus), source.corpus_columns)
    judgements = {
        split: some(judgements_of(read_rows(path), source.qrels_columns, grading), f"{path}: no judgements in it")
        for split, path in source.qrels.items()
    }
    found = assemble(
        source.corpus.resolve().parent.name,
        some(documents, f"{source.corpus}: no documents in it"),
        queries_of(read_rows(source.queries), source.query_columns),
        judgements,
    )
    return replace(found, counted=grading.counted)


def files_of(source: FilesSource) -> list[Path]:
    """What is read."""
    return [source.corpus, source.queries, *source.qrels.values()]


READER = Reader(read_files, lambda source: file_hashes(files_of(source)))

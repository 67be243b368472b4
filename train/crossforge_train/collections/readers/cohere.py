"""Cohere's rows for fine-tuning a reranker: `query`, `relevant_passages`, `hard_negatives`.

Source: Cohere, "Preparing the Rerank Fine-tuning Data". A query has at least one relevant passage; hard negatives are
optional.
"""

from __future__ import annotations

from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.examples import Example, Text, read_rows_as_examples, texts_of
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import Row, text_cell
from crossforge_train.config.other_tools import CohereSource


def read_cohere(source: CohereSource) -> Collection:
    """Read the rows of each split.

    Raises:
        InputError: a file cannot be read, or a row is malformed.
    """
    return read_rows_as_examples(source.files, _example)


def _example(row: Row) -> Example:
    return Example(
        row.where,
        text_cell(row, "query"),
        [(Text(text), 1) for text in texts_of(row, "relevant_passages", required=True)],
        [Text(text) for text in texts_of(row, "hard_negatives")],
    )


READER = Reader(read_cohere, lambda source: file_hashes(source.files.values()))

"""FlagEmbedding's training rows: `query`, `pos`, `neg`, and maybe `pos_scores`, `neg_scores`, `prompt`.

Source: the data format of FlagEmbedding's examples for rerankers. The scores are a teacher's for distillation, which is
what `mining.teacher: scores` makes of them.
"""

from __future__ import annotations

from pathlib import Path

from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.examples import (
    Example,
    Text,
    read_rows_as_examples,
    scores_of,
    some_fields,
    texts_of,
)
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import Row, text_cell
from crossforge_train.config.other_tools import FlagEmbeddingSource


def read_flag_embedding(source: FlagEmbeddingSource) -> Collection:
    """Read the rows of each split.

    Raises:
        InputError: a file cannot be read, or a row is malformed.
    """
    return read_rows_as_examples(source.files, _example)


def files_of(source: FlagEmbeddingSource) -> list[Path]:
    """What is read."""
    return list(source.files.values())


def _example(row: Row) -> Example:
    relevant, negatives = texts_of(row, "pos", required=True), texts_of(row, "neg")
    return Example(
        row.where,
        text_cell(row, "query"),
        [(Text(text), 1) for text in relevant],
        [Text(text) for text in negatives],
        scores=[*scores_of(row, "pos_scores", relevant), *scores_of(row, "neg_scores", negatives)],
        fields=some_fields(row, "prompt", "type"),
    )


READER = Reader(read_flag_embedding, lambda source: file_hashes(files_of(source)))

"""Tables as sentence-transformers trains on them.

Source: sentence-transformers, "Dataset Format" and `mine_hard_negatives`: a column called label, labels, score or
scores holds labels; of the others only the order counts. So a row is (anchor, positive, negative_1 … negative_n), or
(query, document, label), or (query, documents, labels). Scores beside negatives are a teacher's, for
`mining.teacher: scores`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.examples import (
    Example,
    Text,
    collection_name,
    read_examples,
    read_records,
    texts_of,
)
from crossforge_train.collections.readers.grades import Grading
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import Row, is_finite
from crossforge_train.config.other_tools import SentenceTransformersSource

_NO_SCORES = "rows whose label beside negatives is not used: it is no list of a score for each text, but maybe a margin"
_LABELS = ("label", "labels", "score", "scores")


def read_sentence_transformers(source: SentenceTransformersSource) -> Collection:
    """Read the rows of each split.

    Raises:
        InputError: a file cannot be read, a row is malformed, or a label is no whole number without thresholds.
    """
    counted: Counter[str] = Counter()
    grading = Grading("collection.sentence_transformers.thresholds", source.thresholds)
    rows = {split: _examples(path, grading, counted) for split, path in source.files.items()}
    found = read_examples(collection_name(source.files), rows)
    return replace(found, counted={**counted, **grading.counted})


def _examples(path: Path, grading: Grading, counted: Counter[str]) -> Iterator[Example]:
    for row in read_records(path):
        texts = [name for name in row.values if name not in _LABELS]
        labels = [name for name in row.values if name in _LABELS]
        if len(texts) < 2 or len(labels) > 1:
            raise InputError(
                f"{row.where}: expected columns such as anchor, positive, negative or query, documents, labels; "
                f"found {', '.join(map(str, row.values))}"
            )
        anchor, second, *rest = texts
        query = "".join(texts_of(row, anchor, required=True))
        if labels and not rest:
            yield Example(row.where, query, _labelled(row, second, labels[0], grading))
            continue
        negatives = [text for name in rest for text in texts_of(row, name) if text.strip()]
        relevant = texts_of(row, second, required=True)
        scores = _teachers(row, labels[0], [*relevant, *negatives]) if labels else []
        if labels and not scores and row.values[labels[0]] is not None:
            counted[_NO_SCORES] += 1
        judged = [(Text(text), 1) for text in relevant]
        yield Example(row.where, query, judged, [Text(text) for text in negatives], scores)


def _labelled(row: Row, column: str, label: str, grading: Grading) -> list[tuple[Text, int]]:
    """Documents with their labels; both columns hold lists, or both one value."""
    texts, value = texts_of(row, column, required=True), row.values[label]
    labels = value if isinstance(value, list) else [value]
    if len(labels) != len(texts):
        raise InputError(f"{row.where}: {label!r} has {len(labels)} labels for {len(texts)} documents in {column!r}")
    return [(Text(text), grading.grade(found, row.where)) for text, found in zip(texts, labels, strict=True)]


def _teachers(row: Row, column: str, texts: Sequence[str]) -> list[tuple[Text, float]]:
    """The texts with a teacher's scores; none if the column holds something else, such as a margin."""
    scores = row.values[column]
    if not isinstance(scores, list) or not all(map(is_finite, scores)):
        return []
    if len(scores) != len(texts):
        raise InputError(f"{row.where}: {column!r} has {len(scores)} scores for {len(texts)} documents")
    return [(Text(text), float(score)) for text, score in zip(texts, scores, strict=True)]


READER = Reader(read_sentence_transformers, lambda source: file_hashes(source.files.values()))

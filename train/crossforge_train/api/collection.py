"""`Collection`, built from Python objects: pairs, data frames, datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossforge.errors import InputError
from crossforge.files import require_no_uri, written_atomically
from crossforge_train.collections import collection as plain
from crossforge_train.collections.beir import write_beir
from crossforge_train.collections.readers.assembly import (
    assemble,
    documents_of,
    judgements_of,
    queries_of,
    some,
)
from crossforge_train.collections.readers.grades import Grading
from crossforge_train.collections.readers.labelled import read_labelled
from crossforge_train.collections.readers.tables import Row, label_column
from crossforge_train.collections.storage import read_folder
from crossforge_train.config.sources import CorpusColumns, PairColumns, QrelsColumns, QueryColumns, TripleColumns

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from pandas import DataFrame

_TRAIN = "train"
_THRESHOLDS = "thresholds"
_DOCUMENTS = CorpusColumns(id="doc_id")
_QUERIES = QueryColumns(id="query_id")
_JUDGEMENTS = QrelsColumns(query="query_id", document="doc_id", label="relevance")


class Collection(plain.Collection):
    """Documents, queries, and for each split the relevance judgements.

    Every split named in a config (`train` and `test` by default) must exist; `dev` is carved out of `train` by default.
    """

    @classmethod
    def from_beir(cls, folder: str | Path) -> Collection:
        """Read a folder in BEIR layout: `corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv`.

        Raises:
            InputError: a file is missing or malformed.
        """
        return _of(read_folder(Path(folder)))

    @classmethod
    def from_pairs(
        cls, pairs: Iterable[tuple[str, str]] | Mapping[str, Iterable[tuple[str, str]]], *, name: str = "pairs"
    ) -> Collection:
        """Make a collection from (query, relevant text) pairs; the texts become its documents.

        Args:
            pairs: the pairs of the split `train`, or a mapping from split to its pairs.
            name: name in reports.

        Raises:
            InputError: there are no pairs, or a query or text is empty.

        >>> from crossforge_train import Collection
        >>> collection = Collection.from_pairs([("how to bake bread", "Bread bakes at 230 degrees.")])
        >>> len(collection.corpus), len(collection.queries)
        (1, 1)
        """
        splits = pairs if isinstance(pairs, Mapping) else {_TRAIN: pairs}
        rows = {
            split: some(
                (
                    Row(f"{name}, {split}, pair {number}", {"query": query, "text": text})
                    for number, (query, text) in enumerate(found, start=1)
                ),
                f"{name}, {split}: no pairs in it",
            )
            for split, found in splits.items()
        }
        return _of(read_labelled(name, rows, PairColumns()))

    @classmethod
    def from_dataframe(
        cls,
        documents: DataFrame,
        queries: DataFrame,
        judgements: DataFrame,
        *,
        name: str = "collection",
        thresholds: Sequence[float] = (),
    ) -> Collection:
        """Make a collection from three data frames; other columns than those listed are kept as metadata.

        Args:
            documents: columns `doc_id`, `text`, and optionally `title`.
            queries: columns `query_id` and `text`.
            judgements: columns `query_id` and `doc_id`, and optionally `relevance` (an integer, 0 for judged not
                relevant; default 1) and `split` (default `train`).
            name: name in reports.
            thresholds: relevance from which a document has grade 1, 2, …, in rising order; if empty, it is the grade.

        Raises:
            InputError: a column or a value is missing, an id is not unique, a judgement refers to an unknown id, the
                labels of judgements are in a column of another name, or thresholds do not rise.

        >>> import pandas as pd
        >>> from crossforge_train import Collection
        >>> collection = Collection.from_dataframe(
        ...     pd.DataFrame({"doc_id": ["d1", "d2"], "text": ["Bread bakes at 230 degrees.", "Sails catch wind."]}),
        ...     pd.DataFrame({"query_id": ["q1"], "text": ["how hot an oven for bread"]}),
        ...     pd.DataFrame({"query_id": ["q1"], "doc_id": ["d1"], "split": ["test"]}),
        ... )
        >>> collection.splits
        {'test': {'q1': {'d1': 1}}}
        """
        grading = Grading(_THRESHOLDS, thresholds)
        _require_relevance(judgements, thresholds)
        made = assemble(
            name,
            some(documents_of(_rows(documents, "documents"), _DOCUMENTS), "documents: the data frame has no rows"),
            queries_of(_rows(queries, "queries"), _QUERIES),
            {
                split: judgements_of(_rows(found, f"judgements, {split}"), _JUDGEMENTS, grading)
                for split, found in _by_split(judgements).items()
            },
        )
        return _of(replace(made, counted=grading.counted))

    @classmethod
    def from_dataset(
        cls, rows: Dataset | DatasetDict, *, name: str = "dataset", thresholds: Sequence[float] = ()
    ) -> Collection:
        """Make a collection from a `datasets` table of pairs (`query`, `text`) or triples (also `label`).

        Args:
            rows: one table for the split `train`, or one table per split.
            name: name in reports.
            thresholds: labels from which a document has grade 1, 2, …, in rising order; if empty, labels are grades.

        Raises:
            InputError: a column is missing, a query or text is empty, or thresholds do not rise.
        """
        grading = Grading(_THRESHOLDS, thresholds)
        splits = rows if isinstance(rows, Mapping) else {_TRAIN: rows}
        labelled = bool(thresholds) or any("label" in table.column_names for table in splits.values())
        tables = {
            split: (Row(f"{name}, {split}, row {number}", row) for number, row in enumerate(table, start=1))
            for split, table in splits.items()
        }
        return _of(read_labelled(name, tables, TripleColumns() if labelled else PairColumns(), grading))

    def to_beir(self, folder: str | Path) -> Path:
        """Write the collection in BEIR layout, which a config reads as `collection={"beir": folder}`.

        An existing folder is replaced atomically.

        Returns:
            The folder.
        """
        target = Path(folder)
        require_no_uri(target, "a collection")
        with written_atomically(target) as beside:
            write_beir(beside, self)
        return target


def _require_relevance(judgements: DataFrame, thresholds: Sequence[float]) -> None:
    """Raise `InputError` for labels that nothing reads: what is labelled 0 would become relevant without a word."""
    columns = list(map(str, judgements.columns))
    if _JUDGEMENTS.label in columns:
        return
    if name := label_column(columns):
        raise InputError(f"judgements: nothing reads the labels in column {name!r}; call it {_JUDGEMENTS.label}")
    if thresholds:
        raise InputError(f"judgements: there is no column {_JUDGEMENTS.label!r} for the thresholds to grade")


def _of(found: plain.Collection) -> Collection:
    return Collection(**vars(found))


def _rows(table: DataFrame, where: str) -> Iterator[Row]:
    """Rows for the readers; a missing value becomes None, however pandas represents it."""
    columns = list(map(str, table.columns))
    present = table.notna()
    for number, (values, known) in enumerate(
        zip(table.itertuples(index=False, name=None), present.itertuples(index=False, name=None), strict=True), start=1
    ):
        cells: dict[str, Any] = {
            column: _plain(value) if there else None
            for column, value, there in zip(columns, values, known, strict=True)
        }
        yield Row(f"{where}, row {number}", cells)


def _plain(value: Any) -> Any:
    """Convert what numpy holds to Python values; a cell of lists or structs of a Parquet file holds it, too."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _by_split(judgements: DataFrame) -> dict[str, DataFrame]:
    """The judgements of each split, with defaults for optional columns."""
    defaults = {"relevance": 1, "split": _TRAIN}
    whole = judgements.assign(**{key: value for key, value in defaults.items() if key not in judgements.columns})
    missing = whole["split"].isna().to_numpy()
    if missing.any():  # None would otherwise become a split that nobody reads
        raise InputError(f"judgements, row {missing.argmax() + 1}: column 'split' holds nothing")
    return {str(split): found.drop(columns="split") for split, found in whole.groupby("split", sort=False)}

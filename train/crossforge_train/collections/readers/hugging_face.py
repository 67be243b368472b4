"""Data sets of the `datasets` library: a folder, or a hub id that the config names. Nothing of them is executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from crossforge.errors import InputError
from crossforge.files import is_utf16, sha256
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.assembly import assemble, documents_of, judgements_of, queries_of, some
from crossforge_train.collections.readers.grades import Grading
from crossforge_train.collections.readers.json_files import JsonTable, json_tables, opened_files
from crossforge_train.collections.readers.kept_files import KeptFiles
from crossforge_train.collections.readers.labelled import read_labelled
from crossforge_train.collections.readers.reader import Reader
from crossforge_train.collections.readers.tables import Row, row_of
from crossforge_train.config.sources import DatasetsSource, PairColumns
from crossforge_train.versions import versions

if TYPE_CHECKING:
    from datasets import Dataset

    Table: TypeAlias = Dataset | JsonTable

_SAVED = ("dataset_dict.json", "state.json")
# By position, since the same options have to do for any file: of more columns than a table has.
_CSV_AS_TEXT = {"converters": dict.fromkeys(range(10_000), str), "keep_default_na": False}


def read_datasets(source: DatasetsSource) -> Collection:
    """Read a data set; its splits are the collection's.

    Rows are pairs, or triples if there is a column of labels. If corpus, queries and qrels are named, each is a
    configuration of the data set (of a folder: a folder in it).

    Raises:
        InputError: it cannot be loaded, or a row is malformed.
    """
    name = Path(source.path).name
    grading = Grading("collection.datasets.thresholds", source.thresholds)
    if source.corpus is None or source.queries is None or source.qrels is None:
        tables = load_tables(source)
        rows = {split: some(_rows(table, f"{source.path}, {split}"), f"{source.path}, {split}: no rows in it")
                for split, table in tables.items()}  # fmt: skip
        return read_labelled(name, rows, _columns(source, tables), grading)
    judgements = {
        split: some(judgements_of(_rows(table, where), source.qrels_columns, grading), f"{where}: no judgements in it")
        for split, table in _load(source, source.qrels).items()
        for where in [f"{source.path}, {source.qrels}, {split}"]
    }
    documents = documents_of(_all_rows(source, source.corpus), source.corpus_columns)
    queries = queries_of(_all_rows(source, source.queries), source.query_columns)
    documents = some(documents, f"{source.path}, {source.corpus}: no documents in it")
    return replace(assemble(name, documents, queries, judgements), counted=grading.counted)


def load_tables(source: DatasetsSource) -> Mapping[str, Table]:
    """The table of each split.

    Raises:
        InputError: it cannot be loaded.
    """
    return _load(source, source.config)


def depends_on(source: DatasetsSource) -> dict[str, Any]:
    """The hashes of a folder's files; a hub id is taken to be the same as long as its revision is."""
    files = sorted(path for path in Path(source.path).rglob("*") if path.is_file())
    return {"files": {str(path): sha256(path) for path in files}, **versions("datasets")}


def _columns(source: DatasetsSource, tables: Mapping[str, Table]) -> PairColumns:
    labelled = (
        "label" in source.columns.model_fields_set
        or bool(source.thresholds)
        or any(source.columns.label in table.column_names for table in tables.values())
    )
    if labelled:
        return source.columns
    return PairColumns(**source.columns.model_dump(include=source.columns.model_fields_set))


def _all_rows(source: DatasetsSource, config: str) -> Iterator[Row]:
    for split, table in _load(source, config).items():
        yield from _rows(table, f"{source.path}, {config}, {split}")


def _rows(table: Table, where: str) -> Iterator[Row]:
    for number, values in enumerate(table, start=1):
        yield row_of(f"{where}, row {number}", values)


def _load(source: DatasetsSource, config: str | None) -> Mapping[str, Table]:
    import datasets

    folder = Path(source.path)
    if not folder.exists() and (source.path.count("/") != 1 or source.path.startswith((".", "/", "~"))):
        raise InputError(f"{folder}: no such folder, and no hub id such as owner/name")
    try:
        if not folder.exists():
            loaded = _as_it_stands(source.path, config, source.revision)
        else:
            # A configuration is a folder of its own, or one that the README of a copy of a hub repository declares.
            here, declared = (folder / config, None) if config and (folder / config).is_dir() else (folder, config)
            saved = any((here / name).is_file() for name in _SAVED)
            loaded = datasets.load_from_disk(str(here)) if saved else _as_it_stands(str(here), declared)
    except InputError:
        raise
    except Exception as error:  # the library and what it reads with raise many kinds; all mean "cannot be loaded"
        place = f"{source.path}, {config}" if config else source.path
        raise InputError(f"{place}: not a data set that can be loaded ({_reason(error)})") from None
    return loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, UnicodeDecodeError) and is_utf16(cause.object):
        return "UTF-16 text; save it as UTF-8"
    return " ".join(str(cause).split())


def _as_it_stands(place: str, config: str | None, revision: str | None = None) -> Any:
    """A data set, its texts as they are: the library's guesses make 7 of 007, nothing of "null" and a time of a day."""
    import datasets

    def load(**options: Any) -> Any:
        return datasets.load_dataset(place, config, revision=revision, **options)

    kept = KeptFiles(place, config, revision)
    try:
        builder = datasets.load_dataset_builder(place, config, revision=revision)
    except (ConnectionError, ValueError) as error:
        if isinstance(error, ValueError) and "find cache" not in str(error):
            raise
        # Without the hub, what was fetched before is read again: JSON, or CSV, by the options that it was read with.
        if files := kept.read():
            return json_tables(files)
        with suppress(Exception):
            return load(**_CSV_AS_TEXT)
        raise
    kind = builder.info.builder_name or builder.name
    if kind == "csv":
        return load(**_CSV_AS_TEXT)
    if kind != "json":
        return load()
    if Path(place).exists():
        return json_tables(opened_files(builder.config.data_files))
    if not builder.config.data_files:
        raise InputError(f"{place}: the hub is out of reach, and what the library kept of it was changed by guesses")
    return json_tables(kept.write(opened_files(builder.config.data_files)))


READER = Reader(read_datasets, depends_on)

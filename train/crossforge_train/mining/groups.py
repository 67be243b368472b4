"""`Group`: one query with the documents to train on together, and the files of groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crossforge.batching import blocks
from crossforge.errors import InputError, first_line
from crossforge.files import read_jsonl, written_atomically
from crossforge_train.collections.corpus import storable

_SCHEMA = pa.schema(
    [("query_id", pa.string()), ("doc_ids", pa.list_(pa.string())), ("labels", pa.list_(pa.int64())),
     ("ranks", pa.list_(pa.int64())), ("teacher", pa.list_(pa.float64())), ("sources", pa.list_(pa.string()))]
)  # fmt: skip
# Groups that are in memory at a time, and how many times as many a file holds: some tens of megabytes.
_BATCH, _BATCHES = 1024, 64


@dataclass(frozen=True)
class Group:
    """A query and its documents, by id; every sequence has the shape (documents,), positives first.

    Attributes:
        query_id: id of the query.
        doc_ids: ids of its documents.
        labels: relevance; 0 for negatives.
        ranks: ranks in the first stage, from 1; 0 for documents that it did not retrieve.
        teacher: teacher scores, or empty.
        sources: origin of each document: "positive", "judged", "graded", "first stage", "random", or the name of
            another source.
    """

    query_id: str
    doc_ids: Sequence[str]
    labels: Sequence[int]
    ranks: Sequence[int]
    teacher: Sequence[float] = ()
    sources: Sequence[str] = ()


def write_groups(folder: Path, groups: Iterable[Group]) -> None:
    """Write groups as a folder of Parquet files, a column for each attribute; few groups are in memory at a time."""
    batches = blocks(groups, _BATCH)
    with written_atomically(folder) as beside:
        beside.mkdir()
        for number, first in enumerate(batches):
            with pq.ParquetWriter(beside / f"part-{number:05}.parquet", _SCHEMA) as part:
                for batch in chain([first], islice(batches, _BATCHES - 1)):
                    part.write_batch(_as_batch(batch))


def read_groups(path: Path) -> list[Group]:
    """Read what `write_groups` wrote, or the JSON Lines of earlier versions.

    Raises:
        InputError: there is nothing, it is damaged, or it holds something other than groups.
    """
    return list(stream_groups(path))


def stream_groups(path: Path) -> Iterator[Group]:
    """Like `read_groups`, but yields one group at a time."""
    if not path.is_dir():
        yield from _stream_lines(path)
    for part in sorted(path.glob("*.parquet")):
        yield from _stream_part(part)


def _stream_part(path: Path) -> Iterator[Group]:
    try:
        with pq.ParquetFile(path) as part:
            for batch in part.iter_batches(_BATCH, columns=_SCHEMA.names):
                columns = [batch.column(name).to_pylist() for name in _SCHEMA.names]
                yield from map(Group, *columns)
    except KeyError:
        raise InputError(f"{path}: holds no groups") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: damaged ({first_line(error)})") from None


def _stream_lines(path: Path) -> Iterator[Group]:
    for number, row in read_jsonl(path):
        try:
            yield Group(**row)
        except TypeError:
            raise InputError(f"{path}, line {number}: not a group") from None


def _as_batch(groups: Sequence[Group]) -> pa.RecordBatch:
    # The sources are names of files among others, which may be of any bytes; ids were stored before.
    groups = [replace(group, sources=[storable(name) for name in group.sources]) for group in groups]
    columns = [[getattr(group, field.name) for group in groups] for field in _SCHEMA]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
    )

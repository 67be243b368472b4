"""`Group`: one query with the documents to train on together, and the file format for groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_jsonl, write_jsonl


@dataclass(frozen=True)
class Group:
    """A query and its documents, by id; every sequence has the shape (documents,), positives first.

    Attributes:
        query_id: id of the query.
        doc_ids: ids of its documents.
        labels: relevance; 0 for negatives.
        ranks: ranks in the first stage, from 1; 0 for documents that it did not retrieve.
        teacher: teacher scores, or empty.
        sources: origin of each document: "positive", "judged", "first stage", another source's name, "random".
    """

    query_id: str
    doc_ids: Sequence[str]
    labels: Sequence[int]
    ranks: Sequence[int]
    teacher: Sequence[float] = ()
    sources: Sequence[str] = ()


def write_groups(path: Path, groups: Iterable[Group]) -> None:
    """Write groups as JSON Lines, one object per group."""
    write_jsonl(path, [asdict(group) for group in groups])


def read_groups(path: Path) -> list[Group]:
    """Read a file written by `write_groups`.

    Raises:
        InputError: the file is missing or a line is not a group.
    """
    return list(stream_groups(path))


def stream_groups(path: Path) -> Iterator[Group]:
    """Like `read_groups`, but yields one group at a time."""
    for number, row in read_jsonl(path):
        try:
            yield Group(**row)
        except TypeError:
            raise InputError(f"{path}, line {number}: not a group") from None

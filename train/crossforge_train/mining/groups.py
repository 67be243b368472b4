"""`Group`: one query with the documents that are trained on together, and the file that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_jsonl, write_jsonl


@dataclass(frozen=True)
class Group:
    """Ids, not texts; every sequence has the shape (documents,), positives first.

    Attributes:
        query_id: the query.
        doc_ids: its documents.
        labels: their relevance; 0 for negatives.
        ranks: their rank in the first stage, from 1; 0 for documents that it did not retrieve.
        teacher: scores of a teacher, or empty.
        sources: where each document comes from: "positive", "judged", "first stage", another source's name, "random".
    """

    query_id: str
    doc_ids: Sequence[str]
    labels: Sequence[int]
    ranks: Sequence[int]
    teacher: Sequence[float] = ()
    sources: Sequence[str] = ()


def write_groups(path: Path, groups: Iterable[Group]) -> None:
    """Write one JSON object a group."""
    write_jsonl(path, [asdict(group) for group in groups])


def read_groups(path: Path) -> list[Group]:
    """Read what `write_groups` wrote.

    Raises:
        InputError: the file is missing or a line is no group.
    """
    return list(stream_groups(path))


def stream_groups(path: Path) -> Iterator[Group]:
    """`read_groups`, one at a time."""
    for number, row in read_jsonl(path):
        try:
            yield Group(**row)
        except TypeError:
            raise InputError(f"{path}, line {number}: not a group") from None

"""`Counts`: what a collection holds once its splits are in place, as `counts.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.collections.leaks import Leakage


@dataclass(frozen=True)
class Counts:
    """What a collection holds.

    Attributes:
        name: of the collection.
        documents: how many.
        queries: by split, how many.
        leaks: what became of queries that stand in a held-out split too: drop, move or keep.
        leaking_queries: by split, how many of its queries that were.
        leakage_left: for each two splits, what they still have in common.
        pseudo_queries: by kind of pseudo-query, what became of those that were made.
        judged_by_people: the splits whose queries are not all pseudo-queries; empty where there are none.
        training_queries_by_source: of a mix, how many training queries each source gives.
    """

    name: str
    documents: int
    queries: Mapping[str, int]
    leaks: str
    leaking_queries: Mapping[str, int]
    leakage_left: Sequence[Leakage]
    pseudo_queries: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    judged_by_people: Sequence[str] = ()
    training_queries_by_source: Mapping[str, int] = field(default_factory=dict)


def write_counts(path: Path, counts: Counts) -> None:
    """Write counts as JSON; what a collection has nothing of is left out."""
    optional = ("pseudo_queries", "judged_by_people", "training_queries_by_source")
    values = asdict(counts)
    write_json(path, {name: value for name, value in values.items() if value or name not in optional})


def read_counts(path: Path) -> Counts:
    """Read what `write_counts` wrote, in this version or an earlier one.

    Raises:
        InputError: the file is missing or holds something else.
    """
    found: dict[str, Any] = read_json(path)
    try:
        leakage = [Leakage(**{_field(name): value for name, value in pair.items()}) for pair in found["leakage_left"]]
        return Counts(**{**found, "leakage_left": leakage})
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not the counts of a collection; collect again with --fresh") from None


def _field(name: str) -> str:
    """Version 0.1 wrote sentences, "same query", for the fields' names."""
    return name.replace(" ", "_")

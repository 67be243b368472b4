"""`PseudoQueryCounts`: what became of the pseudo-queries of one kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class PseudoQueryCounts:
    """What became of the pseudo-queries of one kind.

    Those that are neither dropped nor kept were not needed: the quotas were full.

    Attributes:
        made: how many were made.
        twice: dropped, since the same query had been made before.
        too_little_left: dropped, since without their words too little of the document would be left.
        not_brought_back: dropped, since they do not bring their document back.
        of_several_splits: dropped, since their documents belong to several splits.
        kept: how many the collection holds.
    """

    made: int = 0
    twice: int = 0
    too_little_left: int = 0
    not_brought_back: int = 0
    of_several_splits: int = 0
    kept: int = 0


def added_up(parts: Iterable[Mapping[str, PseudoQueryCounts]]) -> dict[str, PseudoQueryCounts]:
    """The counts of several collections as those of one.

    Args:
        parts: of each collection, kind -> counts.
    """
    found: dict[str, PseudoQueryCounts] = {}
    for part in parts:
        for kind, counts in part.items():
            so_far = asdict(found.get(kind, PseudoQueryCounts()))
            found[kind] = PseudoQueryCounts(**{what: so_far[what] + count for what, count in asdict(counts).items()})
    return found

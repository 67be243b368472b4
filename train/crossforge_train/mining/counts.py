"""`MiningCounts`: what became of the candidates that mining considered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Reasons for rejecting a candidate.
KNOWN_POSITIVE, COPY, ABOVE_MARGIN = "known_positive", "copy_of_a_positive", "above_margin"


@dataclass
class MiningCounts:
    """What became of the candidates; updated during mining.

    Attributes:
        groups: number of groups made.
        negatives: source -> number of its candidates that became negatives.
        dropped: reason -> number of rejected candidates.
        queries_without_candidate: queries for which the first stage found nothing.
        filled_up: groups filled up with random negatives because they had too few candidates.
        too_few: groups with fewer negatives than wanted because the corpus is too small.
        unreadable: groups left out because their query is too long for the teacher, or has no score from it.
        relabelled: candidates above the teacher's margin that were relabelled as relevant.
    """

    groups: int = 0
    negatives: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    queries_without_candidate: int = 0
    filled_up: int = 0
    too_few: int = 0
    unreadable: int = 0
    relabelled: int = 0

    @property
    def candidates_seen(self) -> int:
        """Number of candidates considered: taken and dropped."""
        return sum(self.negatives.values()) + sum(self.dropped.values())

    def take(self, source: str) -> None:
        """Count a candidate of this source as taken."""
        self.negatives[source] = self.negatives.get(source, 0) + 1

    def drop(self, reason: str) -> None:
        """Count a candidate as rejected."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def add(self, other: MiningCounts) -> None:
        """Add the counts of another part of the queries."""
        self.groups += other.groups
        self.negatives = _sums(self.negatives, other.negatives)
        self.dropped = _sums(self.dropped, other.dropped)
        self.queries_without_candidate += other.queries_without_candidate
        self.filled_up += other.filled_up
        self.too_few += other.too_few
        self.unreadable += other.unreadable
        self.relabelled += other.relabelled


def summed(parts: Iterable[MiningCounts]) -> MiningCounts:
    """The sums over all parts."""
    total = MiningCounts()
    for part in parts:
        total.add(part)
    return total


def _sums(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}

"""What people and a machine judged of the same pairs, and `Agreement`: how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class JudgedTwice:
    """A pair of query and document that people and a machine judged.

    Attributes:
        query: text of the query.
        doc_id: id of the document.
        people: what people say; 0 is not relevant.
        machine: what the machine says; 0 if that is not enough to be relevant.
    """

    query: str
    doc_id: str
    people: int
    machine: int


@dataclass(frozen=True)
class Agreement:
    """How far a machine's grades agree with people's judgements of the same pairs of query and document.

    Attributes:
        judge: who the machine is.
        pairs: how many both judged.
        queries: of how many queries these are.
        kappa: Cohen's kappa with linear weights; None if it is not defined, as where all judgements are the same.
        interval: its 95% interval, bootstrapped over queries; None if there are too few.
        levels: names of what a pair may be judged.
        confusion: pairs by the people's level and, within it, by the machine's; shape (levels, levels).
        least: the kappa below which the machine's labels are not used; None: they always are.
        used: whether they are.
        graded: how many pairs of the log it graded, if they are.
        left_out: how many of their labels are left out, since they are probably wrong by this table.
    """

    judge: str
    pairs: int
    queries: int
    kappa: float | None
    interval: tuple[float, float] | None
    levels: Sequence[str]
    confusion: Sequence[Sequence[int]]
    least: float | None
    used: bool
    graded: int = 0
    left_out: int = 0

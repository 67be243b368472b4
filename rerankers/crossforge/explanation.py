"""`Explanation`: what each step of retrieve-and-rerank did to each candidate of one query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from crossforge.results import RankedResults

_TITLE_WIDTH, _PASSAGE_WIDTH = 24, 60
NOT_RERANKED = "not reranked, since the query leaves the model no room for a document: the first stage's order stays"


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate on its way through the steps.

    Attributes:
        doc_id: the document.
        title: its title, or an empty string.
        first_stage_rank: its place in the initial retrieval, from 1.
        first_stage_score: its score there.
        windows: how many windows the document was cut into; 1 where the model reads it whole.
        passage: the part of it that the reranker read and scored highest.
        logit: the reranker's score of that passage.
        probability: the calibrated probability of relevance.
        rank: its final place, from 1.
        movement: places that reranking moved it up (negative: down).
        above_threshold: whether the probability reaches the package's threshold; True where it has none.
    """

    doc_id: str
    title: str
    first_stage_rank: int
    first_stage_score: float
    windows: int
    passage: str
    logit: float
    probability: float
    rank: int
    movement: int
    above_threshold: bool


@dataclass(frozen=True, slots=True)
class Explanation(Sequence[Row]):
    """All candidates of one query, in their final order; `str()` gives the steps and a table.

    Attributes:
        query: what was searched for.
        rows: the candidates.
        depth: how many candidates the first stage was asked for.
        passages: how many windows at most were read of a document.
        fusion_weight: share of the first-stage score in the final order.
        threshold: probability above which a document counts as relevant; None if the package has none.
        reranked: False if the query leaves the model no room for a document, and the first stage's order stays.
    """

    query: str
    rows: tuple[Row, ...]
    depth: int
    passages: int
    fusion_weight: float
    threshold: float | None
    reranked: bool = True

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        """The row at a final position, or a slice of them."""
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def steps(self) -> tuple[str, ...]:
        """What the steps did, one line each."""
        if not self.rows:
            return ("initial retrieval: no document matches the query",)
        retrieved = f"initial retrieval: {len(self)} candidates (at most {self.depth})"
        if not self.reranked:
            return (retrieved, NOT_RERANKED)
        cut = sum(row.windows > 1 for row in self.rows)
        logits = [row.logit for row in self.rows]
        return (
            retrieved,
            f"compression: {cut} of them longer than the model reads; at most {self.passages} passage(s) read of each",
            f"reranking: logits from {min(logits):+.2f} to {max(logits):+.2f}",
            f"reordered results: {sum(row.movement != 0 for row in self.rows)} moved{self._order()}",
        )

    def _order(self) -> str:
        fused = f", first-stage score weighs {self.fusion_weight:.2f} in the order" if self.fusion_weight else ""
        if self.threshold is None:
            return fused
        reach = sum(row.above_threshold for row in self.rows)
        return f"{fused}, {reach} reach the threshold {self.threshold:.3f}"

    def __str__(self) -> str:
        steps = [f"{number}. {step}" for number, step in enumerate(self.steps, start=1)]
        return "\n".join([f"query: {self.query}", *steps, *(self._table() if self.rows else ())])

    def _table(self) -> list[str]:
        cells = [COLUMNS, *(cells_of(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return [
            "  ".join(
                text.rjust(width) if place < _NUMBERS else text.ljust(width)
                for place, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]


COLUMNS = ("rank", "moved", "first stage", "score", "logit", "probability", "document", "passage")
_NUMBERS = 6  # the columns before `document`


def cells_of(row: Row) -> tuple[str, ...]:
    """A row as text, one cell for each of `COLUMNS`."""
    return (
        str(row.rank),
        f"{row.movement:+d}" if row.movement else "=",
        str(row.first_stage_rank),
        f"{row.first_stage_score:.3f}",
        f"{row.logit:+.2f}",
        f"{row.probability:.3f}",
        _shortened(row.title or row.doc_id, _TITLE_WIDTH),
        _shortened(row.passage.removeprefix(row.title), _PASSAGE_WIDTH),
    )


def explanation(
    results: RankedResults, windows: dict[str, int], *, depth: int, passages: int, fusion_weight: float
) -> Explanation:
    """An explanation of results that have a first stage; `windows` counts each document's windows by its id."""
    return Explanation(
        results.query,
        tuple(
            Row(
                doc_id=found.doc_id,
                title=found.title,
                first_stage_rank=found.rank + (found.movement or 0),
                first_stage_score=found.first_stage_score or 0.0,
                windows=windows[found.doc_id],
                passage=found.passage,
                logit=found.score,
                probability=found.probability,
                rank=found.rank,
                movement=found.movement or 0,
                above_threshold=results.threshold is None or found.probability >= results.threshold,
            )
            for found in results
        ),
        depth=depth,
        passages=passages,
        fusion_weight=fusion_weight,
        threshold=results.threshold,
        reranked=results.reranked,
    )


def _shortened(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"

"""`Result` and `RankedResults`, the return types of ranking, with names familiar from other reranking libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from crossforge.documents import Document


@dataclass(frozen=True, slots=True)
class Result:
    """One ranked document.

    Attributes:
        document: the document as passed in.
        rank: rank after reranking, from 1.
        score: the model's logit, as every client that applies no sigmoid shows it.
        probability: calibrated probability of relevance, from 0 to 1.
        passage: the passage of the document that was scored.
        truncated: whether the passage was cut to fit the model.
        first_stage_rank: rank in the first stage, from 1; None without a first stage.
        first_stage_score: the first stage's score; None without a first stage.
    """

    document: Document
    rank: int
    score: float
    probability: float
    passage: str
    truncated: bool
    first_stage_rank: int | None = None
    first_stage_score: float | None = None

    @property
    def doc_id(self) -> str:
        """The document's id."""
        return self.document.doc_id

    @property
    def text(self) -> str:
        """The document's text."""
        return self.document.text

    @property
    def title(self) -> str:
        """The document's title, or an empty string."""
        return self.document.title

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The document's metadata."""
        return self.document.metadata

    @property
    def movement(self) -> int | None:
        """Ranks gained by reranking (negative: lost); None without a first stage."""
        return None if self.first_stage_rank is None else self.first_stage_rank - self.rank


@dataclass(frozen=True, slots=True)
class RankedResults(Sequence[Result]):
    """The results for one query, best first.

    Attributes:
        query: the query.
        results: the results.
        threshold: lowest probability at which a document counts as relevant; None if the package has none, or if
            nothing was reranked.
        reranked: False if the query leaves the model no room for a document: the order is the first stage's, and
            `score` (0) and `probability` say nothing.
    """

    query: str
    results: tuple[Result, ...]
    threshold: float | None = None
    reranked: bool = True

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Result, ...]: ...
    def __getitem__(self, index: int | slice) -> Result | tuple[Result, ...]:
        """The result at a position from 0, or a tuple of results for a slice."""
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def top_k(self, k: int) -> list[Result]:
        """The first `k` results."""
        return list(self.results[:k])

    def above_threshold(self) -> list[Result]:
        """The results with a probability at or above the package's threshold (all results if it has none)."""
        return [result for result in self.results if self.threshold is None or result.probability >= self.threshold]

    def get_score_by_docid(self, doc_id: str) -> float | None:
        """The logit of one document, or None if it is not among the results."""
        return next((result.score for result in self.results if result.doc_id == str(doc_id)), None)

"""The kind `hybrid`: what two retrievers find, words and vectors, in one order."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.calibration import fuse
from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, write_json, written_atomically
from crossforge.retrievers.base import ScoringRetriever
from crossforge.retrievers.checks import require_between
from crossforge.retrievers.dense import DenseKind, DenseRetriever
from crossforge.retrievers.lexical import LexicalKind
from crossforge.retrievers.registry import HYBRID
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import Candidate, Run

_FORMAT = "crossforge-hybrid-1"
_LEXICAL, _DENSE = "lexical", "dense"
_BM25 = {"weighting": "bm25"}
DEFAULT_POOL = 200
# The constant of reciprocal rank fusion, as its authors chose it.
_RANK_OFFSET = 60
# What a score is rounded to before it is ordered: further digits depend on the shapes of multiplied blocks.
_DIGITS = 6


class HybridRetriever:
    """The union of a lexical and a dense list, each document scored by both.

    Args:
        lexical: the index of terms; it also chooses the passages of long documents.
        dense: the vectors of the same documents.
        weight: share of the lexical score, from 0 to 1, where both are standardised over a query's union; None orders
            by ranks alone (G. Cormack, C. Clarke and S. Buettcher, "Reciprocal rank fusion outperforms Condorcet and
            individual rank learning methods", SIGIR 2009), which needs no weight.
        pool: candidates of each list that are fused, however few are asked for: scores are standardised over the union,
            so that an app that asks for fewer than the proof did must not get another order.
    """

    kind = HYBRID

    def __init__(
        self, lexical: TfidfRetriever, dense: DenseRetriever, weight: float | None = None, pool: int = DEFAULT_POOL
    ) -> None:
        if lexical.doc_ids != dense.doc_ids:
            raise InputError("a hybrid first stage needs two indexes of the same documents in the same order")
        self.lexical = lexical
        self.dense = dense
        self.weight = weight
        self.pool = pool

    @property
    def name(self) -> str:
        """See `Retriever`."""
        return f"{self.lexical.name} + {self.dense.name}"

    @property
    def description(self) -> str:
        """See `StoredRetriever`."""
        joined = "by rank" if self.weight is None else f"{self.weight:g} lexical"
        return f"{self.lexical.description}; {self.dense.description}; fused {joined}"

    @property
    def parts(self) -> tuple[ScoringRetriever, ...]:
        """See `CombinedRetriever`."""
        return self.lexical, self.dense

    @property
    def settings(self) -> dict[str, Any]:
        """See `RepeatableRetriever`."""
        parts = {"lexical": self.lexical.settings, "dense": self.dense.settings}
        return {**parts, "weight": self.weight, "pool": self.pool}

    def origins(self, query: str, k: int) -> dict[str, dict[str, int]]:
        """See `CombinedRetriever`."""
        found: dict[str, dict[str, int]] = {}
        for part in self.parts:
            for rank, candidate in enumerate(part.search({"": query}, max(k, self.pool))[""], start=1):
                found.setdefault(candidate.doc_id, {})[part.name] = rank
        return found

    def with_weight(self, weight: float | None) -> HybridRetriever:
        """See `CombinedRetriever`."""
        return HybridRetriever(self.lexical, self.dense, weight, self.pool)

    def with_part(self, part: ScoringRetriever) -> HybridRetriever:
        """See `CombinedRetriever`; only the vectors can be replaced."""
        if not isinstance(part, DenseRetriever):
            raise TypeError(f"a hybrid searches vectors, not with {part.name}")
        return HybridRetriever(self.lexical, part, self.weight, self.pool)

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """See `Retriever`: the `k` best of the union of both lists."""
        runs = [part.search(queries, max(k, self.pool), ties_by_id=ties_by_id) for part in self.parts]
        return self.fused(queries, runs, k)

    def fused(self, queries: Mapping[str, str], runs: Sequence[Run], k: int) -> dict[str, list[Candidate]]:
        """See `CombinedRetriever`."""
        unions = {
            query_id: list(dict.fromkeys(found.doc_id for run in runs for found in run[query_id]))
            for query_id in queries
        }
        if self.weight is None:
            return {query_id: _by_rank([run[query_id] for run in runs], k) for query_id in queries}
        lexical, dense = (part.scores(queries, unions) for part in self.parts)
        return {
            query_id: _best(doc_ids, fuse(dense[query_id], lexical[query_id].astype(np.float64), self.weight), k)
            for query_id, doc_ids in unions.items()
        }

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Retriever`: lexical ones."""
        return self.lexical.similarities(query, texts)

    def save(self, folder: Path) -> None:
        """See `StoredRetriever`."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            write_json(beside / "index.json", {"format": _FORMAT, "weight": self.weight, "pool": self.pool})
            self.lexical.save(beside / _LEXICAL)
            self.dense.save(beside / _DENSE)

    @classmethod
    def load(cls, folder: Path) -> HybridRetriever:
        """Read what `save` wrote.

        Raises:
            PackageError: the folder holds no such index, or its parts do not fit together.
        """
        try:
            state = read_json(folder / "index.json")
            if not isinstance(state, dict) or state.get("format") != _FORMAT:
                raise PackageError(f"{folder / 'index.json'}: not a hybrid index of this version ({_FORMAT})")
            weight = None if state["weight"] is None else require_between("weight", state["weight"], 0, 1)
            pool = int(require_between("pool", state["pool"], 1, sys.maxsize))
            lexical, dense = TfidfRetriever.load(folder / _LEXICAL), DenseRetriever.load(folder / _DENSE)
            return cls(lexical, dense, weight, pool)
        except (OSError, ValueError, KeyError, TypeError, InputError) as error:
            raise PackageError(f"{folder}: damaged or no hybrid index ({error})") from None


class HybridKind:
    """See `RetrieverKind`."""

    @staticmethod
    def fit(documents: Collection[Document], settings: Mapping[str, Any]) -> HybridRetriever:
        """Index documents by words and by vectors.

        Args:
            documents: the corpus.
            settings: `lexical` and `dense`, the settings of those kinds, `weight` and `pool`; each may be left out.
                `lexical` may also be an index of the documents; its `weighting` is "bm25" if it is left out.

        Raises:
            InputError: as the two kinds do.
        """
        words = settings.get("lexical", {})
        # BM25, as in a run: the weight of a package's proof was chosen for its scores.
        lexical = words if isinstance(words, TfidfRetriever) else LexicalKind.fit(documents, {**_BM25, **words})
        dense = DenseKind.fit(documents, settings.get("dense", {}))
        return HybridRetriever(lexical, dense, settings.get("weight"), settings.get("pool", DEFAULT_POOL))

    @staticmethod
    def load(folder: Path) -> HybridRetriever:
        """Read an index."""
        return HybridRetriever.load(folder)


def _by_rank(lists: Sequence[Sequence[Candidate]], k: int) -> list[Candidate]:
    scores: dict[str, float] = {}
    for found in lists:
        for rank, candidate in enumerate(found, start=1):
            scores[candidate.doc_id] = scores.get(candidate.doc_id, 0.0) + 1 / (_RANK_OFFSET + rank)
    return _best(list(scores), np.array(list(scores.values())), k)


def _best(doc_ids: Sequence[str], scores: NDArray[np.float64], k: int) -> list[Candidate]:
    rounded = scores.round(_DIGITS)
    order = np.argsort(-rounded, kind="stable")[:k]
    return [Candidate(doc_ids[position], float(rounded[position])) for position in order]

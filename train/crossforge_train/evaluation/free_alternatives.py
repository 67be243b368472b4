"""What a reranker has to beat: orders that need no training, only the base model as it is or no model at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossforge.retrievers.base import CombinedRetriever, Retriever, ScoringRetriever
from crossforge.runs import ids_by_query
from crossforge_train.evaluation.fusion_weight import choose_fusion_weight
from crossforge_train.evaluation.scoring import ScoredQuery, rankings
from crossforge_train.evaluation.systems import Bench, System, bm25_systems, retrieved_system

BI_ENCODER = "base as bi-encoder"
BI_ENCODER_FUSED = "base as bi-encoder, fused"
DENSE_RETRIEVAL = "dense, whole corpus"
HYBRID_RETRIEVAL = "hybrid, whole corpus"


@dataclass(frozen=True)
class Free:
    """The free alternatives that can be had.

    Attributes:
        bm25: BM25 over the corpus; None if the first stage is BM25 itself, or it is not wanted.
        bi_encoder: the base model's vectors of at least all candidates; None if it is no bi-encoder.
        whole: whether these are vectors of the whole corpus, and searching them is not the first stage itself.
        hybrid: a combination of words and vectors, unless the first stage is one and has learned nothing.
        beside: what the bi-encoder is fused with where the first stage has learned from labels, and so is not free:
            its lexical part; None if the first stage's own score is free.
        candidates_alone: whether the bi-encoder has vectors of the measured candidates alone.
        fusion_weight: share of that score in the bi-encoder's fused order, from dev.
    """

    bm25: Retriever | None = None
    bi_encoder: ScoringRetriever | None = None
    whole: bool = False
    hybrid: CombinedRetriever | None = None
    beside: ScoringRetriever | None = None
    candidates_alone: bool = False
    fusion_weight: float = 0.5

    def with_bi_encoder(
        self,
        bi_encoder: ScoringRetriever,
        *,
        whole: bool,
        hybrid: CombinedRetriever | None = None,
        beside: ScoringRetriever | None = None,
    ) -> Free:
        """The same with a bi-encoder that has vectors of the whole corpus."""
        return replace(self, bi_encoder=bi_encoder, whole=whole, hybrid=hybrid, beside=beside)

    def with_bi_encoder_of_candidates(self, bi_encoder: ScoringRetriever) -> Free:
        """The same with a bi-encoder that has vectors of the measured candidates alone."""
        return replace(self, bi_encoder=bi_encoder, candidates_alone=True)

    def fused(self, weight: float | None) -> Free:
        """The same with a fusion weight; None keeps it."""
        return self if weight is None else replace(self, fusion_weight=weight)


def free_systems(bench: Bench, free: Free) -> list[System]:
    """Every free alternative on the bench's queries."""
    systems = bm25_systems(bench, free.bm25) if free.bm25 else []
    if free.bi_encoder is None:
        return systems
    scored = bi_encoder_scores(bench.of_rivals, free.bi_encoder, free.beside)
    systems.append(System(BI_ENCODER, rankings(scored, bench.run, 0.0)))
    systems.append(System(BI_ENCODER_FUSED, rankings(scored, bench.run, free.fusion_weight)))
    if free.whole:
        systems.append(retrieved_system(bench, DENSE_RETRIEVAL, free.bi_encoder))
    if free.hybrid:
        systems.append(retrieved_system(bench, HYBRID_RETRIEVAL, free.hybrid))
    return systems


def bi_encoder_scores(
    bench: Bench, bi_encoder: ScoringRetriever, beside: ScoringRetriever | None = None
) -> dict[str, ScoredQuery]:
    """The cosines of each query's candidates, down to the rerank depth.

    Args:
        bench: the queries and candidates.
        bi_encoder: scores them.
        beside: gives the scores to fuse with in place of the first stage's.
    """
    kept = bench.candidates
    doc_ids = ids_by_query(kept)
    cosines = bi_encoder.scores(bench.queries, doc_ids)
    others = beside.scores(bench.queries, doc_ids) if beside else None
    return {
        query_id: ScoredQuery(
            doc_ids[query_id],
            np.asarray(others[query_id] if others else [found.score for found in kept[query_id]], dtype=np.float64),
            cosines[query_id],
            np.zeros(len(kept[query_id]), dtype=bool),
        )
        for query_id in bench.queries
    }


def best_of(means: Mapping[str, float], names: Sequence[str]) -> str | None:
    """The system with the highest mean, the first of equally good ones; None if there is none."""
    return max(names, key=lambda name: round(means[name], 6)) if names else None


def bi_encoder_fusion(bench: Bench, free: Free) -> float | None:
    """The share of the other score in the bi-encoder's fused order, chosen on dev as that of a reranker is.

    None if there is no bi-encoder.
    """
    if free.bi_encoder is None:
        return None
    scored = bi_encoder_scores(bench.of_rivals, free.bi_encoder, free.beside)
    return choose_fusion_weight(scored, bench.run, bench.qrels, bench.config.metric, bench.seed, pseudo=bench.flatters)

"""What to use in place of a reranker that is not better, in one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

from crossforge_train.evaluation.free_alternatives import (
    BI_ENCODER,
    BI_ENCODER_FUSED,
    DENSE_RETRIEVAL,
    HYBRID_RETRIEVAL,
)
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.evaluation.systems import BASE_MODEL, BM25, BM25_RETRIEVAL, FIRST_STAGE, INCUMBENT
from crossforge_train.evaluation.verdict import Comparison

_UNTRAINED = ", tune_encoder: false and query_map: false"
_HOW: Mapping[str, str] = {
    FIRST_STAGE: "take its order as it is, without a reranker",
    BM25: "order the candidates by BM25",
    BM25_RETRIEVAL: "set first_stage.kind: lexical and first_stage.weighting: bm25, and take its order as it is",
    BASE_MODEL: "rerank with the base model as it is",
    BI_ENCODER: "order the candidates by the base model's cosines",
    BI_ENCODER_FUSED: "order the candidates by the base model's cosines, fused with the first stage, or with its "
    "lexical part if it has learned from labels",
    DENSE_RETRIEVAL: f"set first_stage.kind: dense{_UNTRAINED}, and take its order as it is",
    HYBRID_RETRIEVAL: f"set first_stage.kind: hybrid{_UNTRAINED}, and take its order as it is",
    INCUMBENT: "keep it",
}
_ADVANTAGE: Mapping[str, str] = {FIRST_STAGE: "costs nothing more", INCUMBENT: "is in use"}


def how_to_use(system: str) -> str:
    """How an alternative is used; empty if there is nothing to say of it."""
    return _HOW.get(system, "")


def use_instead(split: SplitReport, metric: str) -> list[str]:
    """What to use in place of each system that does not win: the best of what it does not beat; one sentence each."""
    decisive = [found for found in split.comparisons if found.decisive]
    systems = list(dict.fromkeys(found.system for found in decisive))
    means = {system.name: system.means[metric] for system in split.systems}
    said = []
    for system in systems:
        unbeaten = [found for found in decisive if found.system == system and found.verdict != "WIN"]
        if unbeaten:
            best = max(unbeaten, key=lambda found: (found.verdict == "REGRESSION", means[found.baseline]))
            how = how_to_use(best.baseline)
            instead = f"instead of {system}" if len(systems) > 1 else "instead"
            said.append(f"use {_named(best)} {instead}: it {_compared(best)}" + (f" ({how})" if how else ""))
    return said


def _named(found: Comparison) -> str:
    return f"the {found.baseline}" if found.baseline in (FIRST_STAGE, INCUMBENT, BASE_MODEL) else found.baseline


def _compared(found: Comparison) -> str:
    if found.verdict == "REGRESSION":
        return "is better"
    if found.baseline not in _HOW:  # a system that was named on the command line
        return "is the baseline and does as well"
    return f"does as well and {_ADVANTAGE.get(found.baseline, 'needs no training')}"

"""Measures dev during training on real first-stage candidates: positives that the first stage missed stay missed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from sentence_transformers.base.evaluation import BaseEvaluator

from crossforge.errors import InputError
from crossforge.pipeline import RetrieveAndRerank
from crossforge.runs import Run
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.fusion_weight import choose_fusion_weight
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, cut_share, rankings, score_queries, spread_of_scores
from crossforge_train.reporting import Reporter
from crossforge_train.training.history import DEV_CUT, DEV_FUSED, DEV_METRIC, DEV_SPREAD

_SHUFFLES = 5


@dataclass(frozen=True)
class DevSet:
    """Queries, judgements and first-stage candidates for the dev metric.

    Attributes:
        queries: query id -> text.
        qrels: their judgements.
        run: their first-stage candidates.
        depth: how many of these are reranked.
        metric: measure to take.
        seed: of the fusion weight's choice.
        flatters: whether the split flatters its first stage.
        doubtful: whether a gain over the first stage is doubtful.
    """

    queries: Mapping[str, str]
    qrels: Qrels
    run: Run
    depth: int
    metric: str
    seed: int
    flatters: bool
    doubtful: bool


class ByQuery(NamedTuple):
    """The metric for each dev query: alone, and fused with the first stage by the weight that dev calls for."""

    alone: list[float]
    fused: list[float]


class DevEvaluator(BaseEvaluator):
    """The evaluator for `CrossEncoderTrainer`; the best checkpoint is the best one fused with the first stage.

    That is what ships. What a training has learned besides the first stage shows there first: a checkpoint that is
    worse alone than another may add more to it.

    Args:
        pipeline: pipeline around the model in training.
        dev: the data to measure on.
        reporter: shows progress.
    """

    def __init__(self, pipeline: RetrieveAndRerank, dev: DevSet, reporter: Reporter) -> None:
        super().__init__()
        self.primary_metric = DEV_FUSED
        self._pipeline = pipeline
        self._dev = dev
        self._reporter = reporter
        self.metric = dev.metric
        self._first_stage = {query: [found.doc_id for found in dev.run.get(query, [])] for query in dev.queries}
        self.first_stage = self._quality(self._first_stage)

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Measure the pipeline's model; `model` is ignored, since it is the same one.

        Raises:
            InputError: the model's scores are not finite.
        """
        scored = self._scored()
        found = self._fused(scored)
        return {
            DEV_METRIC: fmean(found.alone),
            DEV_FUSED: fmean(found.fused),
            DEV_SPREAD: spread_of_scores(scored),
            DEV_CUT: cut_share(scored),
        }

    def by_query(self) -> ByQuery:
        """The metric of the pipeline's model for each dev query."""
        return self._fused(self._scored())

    def _fused(self, scored: Mapping[str, ScoredQuery]) -> ByQuery:
        dev = self._dev
        weight = choose_fusion_weight(
            scored, dev.run, dev.qrels, dev.metric, dev.seed, pseudo=dev.flatters, cautious=dev.doubtful
        )
        return ByQuery(*(list(self._qualities(rankings(scored, dev.run, share)).values()) for share in (0.0, weight)))

    def _scored(self) -> dict[str, ScoredQuery]:
        dev = self._dev
        scored = score_queries(self._pipeline, dev.queries, dev.run, dev.depth, self._reporter, "measuring dev")
        if any(not np.isfinite(found.logits).all() for found in scored.values()):
            raise InputError(
                "training diverged: the model's scores are not numbers; lower training.learning_rate "
                "and training.head_learning_rate, or set training.precision to fp32"
            )
        return scored

    def chance(self) -> float:
        """The metric of a model that knows nothing: the mean over random orders of the reranked candidates."""
        draws = [random.Random(seed) for seed in range(_SHUFFLES)]  # noqa: S311 - seeded draws, not secrets
        return float(np.mean([self._quality(self._shuffled(draw)) for draw in draws]))

    def _shuffled(self, draw: random.Random) -> dict[str, list[str]]:
        depth = self._dev.depth
        return {
            query_id: draw.sample(doc_ids[:depth], len(doc_ids[:depth])) + doc_ids[depth:]
            for query_id, doc_ids in self._first_stage.items()
        }

    def _quality(self, found: Mapping[str, list[str]]) -> float:
        return mean(self._qualities(found))

    def _qualities(self, found: Mapping[str, list[str]]) -> Mapping[str, float]:
        return measure_rankings([self._dev.metric], self._dev.qrels, found)[self._dev.metric]

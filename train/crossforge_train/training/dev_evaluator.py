"""The dev metric during training: real first-stage candidates, positives that the first stage missed stay missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sentence_transformers.base.evaluation import BaseEvaluator

from crossforge.errors import InputError
from crossforge.pipeline import RetrieveAndRerank
from crossforge.runs import Run
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.scoring import rankings, score_queries, spread_of_scores
from crossforge_train.reporting import Reporter

METRIC_NAME = "dev_metric"


@dataclass(frozen=True)
class DevSet:
    """What the dev metric is measured on."""

    queries: Mapping[str, str]
    qrels: Qrels
    run: Run
    depth: int
    metric: str


class DevEvaluator(BaseEvaluator):
    """An evaluator that `CrossEncoderTrainer` calls; the best checkpoint is the one where it is highest.

    Args:
        pipeline: reranks with the model that is being trained.
        dev: what to measure on.
        reporter: shows progress.
    """

    def __init__(self, pipeline: RetrieveAndRerank, dev: DevSet, reporter: Reporter) -> None:
        super().__init__()
        self.primary_metric = METRIC_NAME
        self._pipeline = pipeline
        self._dev = dev
        self._reporter = reporter
        first_stage = {query_id: [found.doc_id for found in dev.run.get(query_id, [])] for query_id in dev.queries}
        self.first_stage = self._quality(first_stage)

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Measure; `model` is the one that the pipeline holds already.

        Raises:
            InputError: the model gives NaN.
        """
        dev = self._dev
        scored = score_queries(self._pipeline, dev.queries, dev.run, dev.depth, self._reporter, "measuring dev")
        if any(not np.isfinite(found.logits).all() for found in scored.values()):
            raise InputError(
                "training diverged: the model's scores are not numbers; lower training.learning_rate "
                "and training.head_learning_rate, or set training.precision to fp32"
            )
        return {METRIC_NAME: self._quality(rankings(scored, dev.run, 0.0)), "dev_spread": spread_of_scores(scored)}

    def _quality(self, found: Mapping[str, list[str]]) -> float:
        return mean(measure_rankings([self._dev.metric], self._dev.qrels, found)[self._dev.metric])

"""`Report`: the outcome of an evaluation as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossforge_train.evaluation.dev_choices import Tuned
from crossforge_train.evaluation.metrics import COUNTING_RULE
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.evaluation.verdict import Verdict, overall_verdict


@dataclass(frozen=True)
class TrainingCurves:
    """How training went: loss and dev metric by step, the first stage's dev metric, and the step that was kept."""

    steps: Sequence[int]
    loss: Sequence[float]
    dev_steps: Sequence[int]
    dev: Sequence[float]
    first_stage_dev: float
    best_step: int | None


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation.

    Attributes:
        title: of the run or the comparison.
        collection: what it was measured on.
        metric: the measure that decided.
        depth: first-stage candidates that were reranked.
        backend: what computed the scores.
        counting_rule: what the means are means of.
        verdict: over all splits.
        splits: one report a test split.
        tuned: what was chosen on dev; None where nothing was.
        training: how training went; None where the reranker was not trained in this run.
    """

    title: str
    collection: str
    metric: str
    depth: int
    backend: str
    counting_rule: str
    verdict: Verdict
    splits: Sequence[SplitReport]
    tuned: Tuned | None = None
    training: TrainingCurves | None = None


def make_report(
    title: str,
    collection: str,
    metric: str,
    depth: int,
    backend: str,
    splits: Sequence[SplitReport],
    tuned: Tuned | None = None,
    training: TrainingCurves | None = None,
) -> Report:
    """A report over splits that were measured."""
    verdict = overall_verdict(split.verdict for split in splits)
    return Report(title, collection, metric, depth, backend, COUNTING_RULE, verdict, splits, tuned, training)

"""`Report`: the outcome of an evaluation as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossforge_train.collections.agreement import Agreement
from crossforge_train.evaluation.budget import Budget
from crossforge_train.evaluation.dev_choices import Tuned
from crossforge_train.evaluation.guard import Guard
from crossforge_train.evaluation.metrics import COUNTING_RULE
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.evaluation.system_orders import SystemOrders
from crossforge_train.evaluation.verdict import Verdict, overall_verdict


@dataclass(frozen=True)
class TrainingCurves:
    """A training by step.

    Attributes:
        steps: steps at which the loss was logged.
        loss: the losses.
        dev_steps: steps at which dev was measured.
        dev: metric of the reranker alone.
        first_stage_dev: metric of the first stage.
        best_step: step of the kept checkpoint; None if none was measured.
        start_share: share of the starting weights mixed in at the end.
        fused: metric of reranker and first stage together, by which the checkpoint was chosen; None for the steps of
            a killed training that an earlier version took. Empty if it took them all, and chose by `dev`.
    """

    steps: Sequence[int]
    loss: Sequence[float]
    dev_steps: Sequence[int]
    dev: Sequence[float]
    first_stage_dev: float
    best_step: int | None
    start_share: float = 0.0
    fused: Sequence[float | None] = ()


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation.

    Attributes:
        title: name of the run or comparison.
        collection: name of the collection.
        metric: the deciding measure.
        depth: number of reranked first-stage candidates.
        first_stage: name and description of the first stage; empty in reports of versions before 0.2.
        budget: what depth, passages and backend were picked for and from; None if there was no budget.
        backend: backend that computed the scores.
        counting_rule: which queries the means cover.
        verdict: verdict over all splits.
        splits: one report per test split.
        tuned: values chosen on dev; None if none were.
        training: training curves; None if the reranker was not trained in this run.
        guard: what was forgotten on a general collection; None if there is none to see it on.
        agreement: how far the machine that judged queries agrees with people; None if none did.
        orders: whether its labels and people's put the systems into the same order; None if none did.
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
    guard: Guard | None = None
    first_stage: str = ""
    budget: Budget | None = None
    agreement: Agreement | None = None
    orders: SystemOrders | None = None


def make_report(
    title: str,
    collection: str,
    metric: str,
    depth: int,
    backend: str,
    splits: Sequence[SplitReport],
    tuned: Tuned | None = None,
    training: TrainingCurves | None = None,
    guard: Guard | None = None,
    first_stage: str = "",
    budget: Budget | None = None,
    agreement: Agreement | None = None,
    orders: SystemOrders | None = None,
) -> Report:
    """Combine the reports of the measured splits into one."""
    verdict = overall_verdict(split.verdict for split in splits)
    return Report(
        title, collection, metric, depth, backend, COUNTING_RULE, verdict, splits, tuned, training, guard, first_stage,
        budget, agreement, orders,
    )  # fmt: skip

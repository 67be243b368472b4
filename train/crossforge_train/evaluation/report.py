"""`Report`: the outcome of an evaluation as one value, and the files that it is written to and read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, write_json, write_tsv, written_atomically
from crossforge.runs import write_run
from crossforge_train.collections.collection import Collection
from crossforge_train.evaluation.metrics import COUNTING_RULE, as_run
from crossforge_train.evaluation.split_report import Measured, SplitReport
from crossforge_train.evaluation.tuning import Tuned
from crossforge_train.evaluation.verdict import Verdict, overall_verdict
from crossforge_train.mining.report import JUDGING_COLUMNS

REPORT_FILE = "report.json"
UNJUDGED = "unjudged"


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


def training_curves(history: Mapping[str, Any]) -> TrainingCurves:
    """The curves from what stage `finetune` wrote into `history.json`."""
    losses = [entry for entry in history["log"] if "loss" in entry]
    measured = [entry for entry in history["log"] if "eval_dev_metric" in entry]
    return TrainingCurves(
        [entry["step"] for entry in losses],
        [entry["loss"] for entry in losses],
        [entry["step"] for entry in measured],
        [entry["eval_dev_metric"] for entry in measured],
        history["first_stage_dev"],
        history["best_step"],
    )


def write_report(folder: Path, report: Report) -> None:
    """Write `report.json`, `report.md` and `report.html`: the same facts for machines, for cards and for people."""
    from crossforge_train.evaluation.markdown import markdown
    from crossforge_train.evaluation.page import page

    write_json(folder / REPORT_FILE, asdict(report))
    for name, text in (("report.md", markdown(report)), ("report.html", page(report))):
        with written_atomically(folder / name) as beside:
            beside.write_text(text, encoding="utf-8")


def read_report(folder: Path) -> Report:
    """What `write_report` wrote.

    Raises:
        InputError: there is none, or one of another version.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Report).validate_python(read_json(folder / REPORT_FILE))
    except ValidationError:
        raise InputError(f"{folder / REPORT_FILE}: not a report of this version; evaluate again with --fresh") from None


def write_details(folder: Path, measured: Measured, collection: Collection) -> None:
    """Write the order and the values of every query of one split for each system, and the likely unjudged positives."""
    split = measured.report.split
    for system in measured.systems:
        tag = system.name.replace(",", "").replace(" ", "-").replace("/", "-")
        write_run(folder / "runs" / f"{split}.{tag}.trec", as_run(system.rankings), tag)
    values = [
        (query_id, name, measure, f"{value:.6f}")
        for name, by_measure in measured.values.items()
        for measure, by_query in by_measure.items()
        for query_id, value in by_query.items()
    ]
    write_tsv(folder / f"per_query.{split}.tsv", ("query", "system", "measure", "value"), values)
    if measured.report.details is not None:
        _write_unjudged(folder / f"{UNJUDGED}.{split}.tsv", measured, collection)


def _write_unjudged(path: Path, measured: Measured, collection: Collection) -> None:
    details = measured.report.details
    rows = []
    for found in details.diagnosis.unjudged if details else ():
        document = collection.corpus[found.doc_id]
        judged = (found.query_id, found.doc_id, collection.queries[found.query_id], document.title, document.text)
        rows.append((*judged, f"{found.probability:.4f}", str(found.rank)))
    write_tsv(path, (*JUDGING_COLUMNS, "probability", "rank"), rows)

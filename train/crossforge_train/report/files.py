"""The files of a report, written and read in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from crossforge.errors import InputError
from crossforge.files import read_json, write_json, write_tsv, written_atomically
from crossforge.runs import write_run
from crossforge_train.collections.collection import Collection
from crossforge_train.evaluation.diagnostics import CUT, FOUND, MISSED, NEAR_COPY, OUTRANKED, TOO_DEEP, Cause
from crossforge_train.evaluation.metrics import as_run
from crossforge_train.evaluation.outcome import Report
from crossforge_train.evaluation.split_report import Measured
from crossforge_train.judging import JUDGING_COLUMNS
from crossforge_train.report.markdown import markdown
from crossforge_train.report.page import page

REPORT_FILE, PAGE_FILE = "report.json", "report.html"
UNJUDGED = "unjudged"  # tables of documents that a person should judge; they quote whole texts
_CAUSES_IN_0_1: Mapping[str, Cause] = {
    "among the first 10": FOUND,
    "missed by the first stage": MISSED,
    "below the depth that is reranked": TOO_DEEP,
    "outranked by a near-copy of itself": NEAR_COPY,
    "cut by max_length": CUT,
    "outranked by other documents": OUTRANKED,
}


def write_report(folder: Path, report: Report) -> None:
    """Write `report.json`, `report.md` and `report.html`: the same facts for machines, for cards and for people."""
    write_json(folder / REPORT_FILE, asdict(report))
    for name, text in (("report.md", markdown(report)), (PAGE_FILE, page(report))):
        with written_atomically(folder / name) as beside:
            beside.write_text(text, encoding="utf-8", errors="replace")


def read_report(folder: Path) -> Report:
    """Read what `write_report` wrote, in this version or an earlier one.

    Raises:
        InputError: the file is missing or holds something else.
    """
    found = read_json(folder / REPORT_FILE)
    try:
        return TypeAdapter(Report).validate_python(_with_named_causes(found))
    except (ValidationError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{folder / REPORT_FILE}: not a report that this version reads; delete {folder} and evaluate again"
        ) from None


def _with_named_causes(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with names for causes where version 0.1 wrote sentences."""
    return {**report, "splits": [_split_with_named_causes(split) for split in report["splits"]]}


def _split_with_named_causes(split: Mapping[str, Any]) -> Mapping[str, Any]:
    if not split["details"]:
        return split
    diagnosis = split["details"]["diagnosis"]
    causes = {_named(cause): count for cause, count in diagnosis["causes"].items()}
    lost = [{**found, "cause": _named(found["cause"])} for found in diagnosis["lost"]]
    return {**split, "details": {**split["details"], "diagnosis": {**diagnosis, "causes": causes, "lost": lost}}}


def _named(cause: str) -> str:
    return _CAUSES_IN_0_1.get(cause, cause)


def write_details(folder: Path, measured: Measured, collection: Collection) -> None:
    """Write one split's orders and values by query for each system, and its likely unjudged positives."""
    split = measured.report.split
    for system in measured.systems:
        tag = re.sub(r"[\s,/]+", "-", system.name)
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

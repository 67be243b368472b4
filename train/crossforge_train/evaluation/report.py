"""Writes what was measured: report.json, report.md, per_query.tsv, and runs in TREC format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossforge.files import read_json, write_json, written_atomically
from crossforge.runs import Candidate, write_run
from crossforge_train.evaluation.metrics import COUNTING_RULE, PerQuery, Rankings
from crossforge_train.evaluation.tuning import Tuned
from crossforge_train.evaluation.verdict import Comparison, SplitResult, SystemResult, Verdict

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation.

    Attributes:
        metric: the measure that decided.
        depth: first-stage candidates that were reranked.
        backend: what computed the scores.
        verdict: over all splits.
        splits: one result a test split.
        tuned: what was chosen on dev.
    """

    metric: str
    depth: int
    backend: str
    verdict: Verdict
    splits: Sequence[SplitResult]
    tuned: Tuned


def write_report(folder: Path, report: Report) -> None:
    """Write `report.json` and `report.md`."""
    write_json(folder / REPORT_FILE, {"counting_rule": COUNTING_RULE, **asdict(report)})
    with written_atomically(folder / "report.md") as beside:
        beside.write_text(markdown(read_report(folder)), encoding="utf-8")


def read_report(folder: Path) -> dict[str, Any]:
    """The facts of `report.json`."""
    facts: dict[str, Any] = read_json(folder / REPORT_FILE)
    return facts


def write_details(folder: Path, split: str, systems: Mapping[str, Rankings], values: Mapping[str, PerQuery]) -> None:
    """Write the order and the values of every query of one split, for each system."""
    for name, found in systems.items():
        tag = name.replace(" ", "-")
        run = {
            query_id: [Candidate(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids, start=1)]
            for query_id, doc_ids in found.items()
        }
        write_run(folder / "runs" / f"{split}.{tag}.trec", run, tag)
    lines = ["query\tsystem\tmeasure\tvalue"]
    for name, by_measure in values.items():
        for measure, by_query in by_measure.items():
            lines += [f"{query_id}\t{name}\t{measure}\t{value:.6f}" for query_id, value in by_query.items()]
    with written_atomically(folder / f"per_query.{split}.tsv") as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table_rows(split: SplitResult, metric: str) -> list[list[str]]:
    """The cells of a split's table, one row a system: name, metric ± interval, other measures, difference, p, wins."""
    return [_row(system, metric) for system in split.systems]


def table_header(split: SplitResult, metric: str) -> list[str]:
    """The column titles that go with `table_rows`."""
    others = [measure for measure in split.systems[0].means if measure != metric]
    return ["system", f"{metric} [95%]", *others, "difference [95%]", "p", "better / worse"]


def verdict_line(split: SplitResult, metric: str) -> str:
    """One line that says what came out on a split."""
    shipped = next(system for system in split.systems if system.name == "as shipped")
    difference = shipped.comparison.difference if shipped.comparison else 0.0
    return (
        f"{split.verdict} on {split.split}: {metric} {difference:+.3f} over the first stage ({split.queries} queries)"
    )


def markdown(facts: Mapping[str, Any]) -> str:
    """The report as Markdown, from the facts of `report.json`."""
    splits = [_split_from(facts_of_split) for facts_of_split in facts["splits"]]
    metric = facts["metric"]
    parts = [f"Verdict: **{facts['verdict']}**", ""]
    for split in splits:
        parts += [f"{verdict_line(split, metric)}.", "", _markdown_row(table_header(split, metric))]
        parts += [_markdown_row(["---"] * len(table_header(split, metric)))]
        parts += [*map(_markdown_row, table_rows(split, metric)), ""]
    parts += [
        f"Each query's first {facts['depth']} candidates of the first stage are reranked ({facts['backend']} backend); "
        f"{facts['counting_rule']}. Intervals are bootstrapped over queries; p is from a paired randomization test "
        f"against the first stage. Fusion weight of the first stage, chosen on dev: {facts['tuned']['fusion_weight']}.",
        "",
    ]
    return "\n".join(parts)


def split_results(facts: Mapping[str, Any]) -> list[SplitResult]:
    """The splits of `report.json` as values."""
    return [_split_from(found) for found in facts["splits"]]


def _split_from(facts: Mapping[str, Any]) -> SplitResult:
    systems = [
        SystemResult(
            found["name"],
            found["means"],
            tuple(found["interval"]),
            None if found["comparison"] is None else Comparison(**found["comparison"]),
        )
        for found in facts["systems"]
    ]
    return SplitResult(facts["split"], facts["queries"], systems, facts["verdict"])


def _row(system: SystemResult, metric: str) -> list[str]:
    low, high = system.interval
    cells = [system.name, f"{system.means[metric]:.3f} [{low:.3f}, {high:.3f}]"]
    cells += [f"{value:.3f}" for measure, value in system.means.items() if measure != metric]
    found = system.comparison
    if found is None:
        return [*cells, "", "", ""]
    low, high = found.interval
    p_value = "<0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"
    return [*cells, f"{found.difference:+.3f} [{low:+.3f}, {high:+.3f}]", p_value, f"{found.wins} / {found.losses}"]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"

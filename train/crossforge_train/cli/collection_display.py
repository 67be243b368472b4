"""A collection's facts on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from crossforge_train.cli.display import console, show_facts


def show_collection(facts: Mapping[str, Any]) -> None:
    """Counts, then tables of splits, leakage and first stage, then tokens, then warnings."""
    counts = {name: value for name, value in facts.items() if not isinstance(value, Mapping | list)}
    show_facts({**counts, "words a document": facts["words a document"]}, f"collection {facts['name']}")
    _table(
        "splits", ["split", "queries", "none relevant", "judgements by label"],
        [[split, found["queries"], found["without a relevant document"], _histogram(found["judgements by label"])]
         for split, found in facts["splits"].items()],
    )  # fmt: skip
    if facts["leakage"]:
        kinds = ["same query", "nearly the same query", "same relevant text"]
        _table(
            "queries that stand in two splits (of the first / of the second)", ["splits", *kinds],
            [[" / ".join(pair["splits"]), *(" / ".join(f"{count:,}" for count in pair[kind]) for kind in kinds)]
             for pair in facts["leakage"]],
        )  # fmt: skip
    _show_first_stage(facts["first stage"])
    if "tokens" in facts:
        tokens = {
            name: f"{value:.1%}" if name.startswith("share") else value for name, value in facts["tokens"].items()
        }
        console.print()
        show_facts(tokens, "tokens, on drawn pairs of a query and a document")
    for warning in facts["warnings"]:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def _show_first_stage(splits: Mapping[str, Any]) -> None:
    if not splits:
        return
    depths = list(next(iter(splits.values()))["depths"])
    rows = [
        [split, _drawn(found), kind, *(f"{found['depths'][depth][kind]:.3f}" for depth in depths)]
        for split, found in splits.items()
        for kind in found["depths"][depths[0]]
    ]
    _table("first stage: what a reranker of so many candidates has to work with",
           ["split", "queries", "", *(f"top {depth}" for depth in depths)], rows)  # fmt: skip
    measured = ", ".join(f"{split} {found['nDCG@10']:.3f}" for split, found in splits.items())
    console.print(f"[dim]nDCG@10 of the first stage itself:[/] {measured}")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or not column else "right", header_style="dim")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else escape(str(cell)) for cell in row))
    console.print()
    console.print(table)


def _drawn(split: Mapping[str, Any]) -> str:
    whole = split["queries"] == split["of"]
    return f"{split['queries']:,}" if whole else f"{split['queries']:,} drawn of {split['of']:,}"


def _histogram(labels: Mapping[str, int]) -> str:
    return ", ".join(f"{label}: {count:,}" for label, count in labels.items())

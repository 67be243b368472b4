"""A collection's facts on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from crossforge_train.cli.display import console, show_facts

if TYPE_CHECKING:
    from crossforge_train.collections.leaks import Leakage
    from crossforge_train.inspection.ceiling import CeilingFacts
    from crossforge_train.inspection.report import CollectionFacts
    from crossforge_train.inspection.texts import Percentiles, SplitFacts
    from crossforge_train.inspection.tokens import TokenFacts

Cell = int | str


def show_collection(facts: CollectionFacts) -> None:
    """Counts, then tables of splits, leakage and first stage, then tokens, then warnings."""
    counts: dict[str, Cell] = {
        "documents": facts.documents,
        "empty documents": facts.texts.empty,
        "duplicate documents": facts.texts.duplicates,
        "words per document": _percentiles(facts.texts.words),
    }
    if facts.own_documents:
        counts["queries that are documents, left out of their own candidates"] = facts.own_documents
    show_facts(counts, f"collection {facts.name}")
    _show_splits(facts.splits)
    _show_leakage(facts.leakage)
    _show_first_stage(facts.first_stage)
    if facts.tokens:
        _show_tokens(facts.tokens)
    for warning in facts.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def _show_splits(splits: Mapping[str, SplitFacts]) -> None:
    rows: list[list[Cell]] = [
        [split, found.queries, found.none_relevant, _labels(found.labels)] for split, found in splits.items()
    ]
    _table("splits", ["split", "queries", "none relevant", "judgements by label"], rows)


def _show_leakage(leakage: Sequence[Leakage]) -> None:
    if not leakage:
        return
    rows = [
        [
            " / ".join(pair.splits),
            _both(pair.same_query),
            _both(pair.nearly_the_same_query),
            _both(pair.same_relevant_text),
        ]
        for pair in leakage
    ]
    titles = ["splits", "same query", "nearly the same query", "same relevant text"]
    _table("queries that are in two splits (of the first / of the second)", titles, rows)


def _show_first_stage(splits: Mapping[str, CeilingFacts]) -> None:
    if not splits:
        return
    depths = list(next(iter(splits.values())).depths)
    rows: list[list[Cell]] = []
    for split, found in splits.items():
        recall = [f"{ceiling.recall:.3f}" for ceiling in found.depths.values()]
        ideal = [f"{ceiling.ideal_ndcg_10:.3f}" for ceiling in found.depths.values()]
        rows.append([split, _searched(found), "recall", *recall])
        rows.append([split, _searched(found), "nDCG@10 of an ideal order", *ideal])
    titles = ["split", "queries", "", *(f"top {depth}" for depth in depths)]
    _table("first stage: what a reranker can make of it", titles, rows)
    measured = ", ".join(f"{split} {found.ndcg_10:.3f}" for split, found in splits.items())
    console.print(f"[dim]nDCG@10 of the first stage itself:[/] {escape(measured)}")
    shown = {split: found.detectable for split, found in splits.items() if found.detectable}
    if shown:
        differences = ", ".join(f"{split} {value:.3f}" for split, value in shown.items())
        console.print(f"[dim]smallest difference that a split's queries can show (power 80%):[/] {escape(differences)}")


def _show_tokens(found: TokenFacts) -> None:
    facts = {
        "pairs sampled": found.pairs,
        "max_length": found.max_length,
        "tokens of query and document": _percentiles(found.lengths),
        "pairs that are cut": f"{found.share_cut:.1%}",
        "unknown tokens": f"{found.share_unknown:.1%}",
        "tokens per word": found.tokens_per_word,
        "tokens per character": found.tokens_per_character,
        "characters per word": found.characters_per_word,
    }
    console.print()
    show_facts(facts, "tokens, on random pairs of a query and a document")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or not column else "right", header_style="dim")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else escape(cell) for cell in row))
    console.print()
    console.print(table)


def _percentiles(found: Percentiles) -> str:
    return f"median {found.median:,}, 95% {found.p95:,}, longest {found.longest:,}"


def _labels(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{label}: {count:,}" for label, count in counts.items())


def _both(counts: Sequence[int]) -> str:
    return " / ".join(f"{count:,}" for count in counts)


def _searched(found: CeilingFacts) -> str:
    return f"{found.queries:,}" if found.queries == found.of else f"{found.queries:,} sampled from {found.of:,}"

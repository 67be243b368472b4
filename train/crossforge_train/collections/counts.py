"""`Counts`: what a collection holds once its splits are in place, as `counts.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.collections.agreement import Agreement
from crossforge_train.collections.leaks import Leakage
from crossforge_train.collections.own_documents import OwnDocuments
from crossforge_train.collections.pseudo_counts import PseudoQueryCounts

# Version 0.1 wrote sentences where the fields' names stand now.
_LEAKAGE_IN_0_1 = {
    "same query": "same_query",
    "nearly the same query": "nearly_the_same_query",
    "same relevant text": "same_relevant_text",
}
_PSEUDO_QUERIES_IN_0_1 = {
    "dropped: made twice": "twice",
    "dropped: too little of the document would be left": "too_little_left",
    "dropped: its document does not come back": "not_brought_back",
    "dropped: of documents of several splits": "of_several_splits",
}


@dataclass(frozen=True)
class Counts:
    """What a collection holds.

    Attributes:
        name: of the collection.
        documents: how many.
        queries: by split, how many.
        leaks: what is done with queries that are also in a held-out split: drop, move or keep.
        leaking_queries: by split, how many of its queries that were.
        leakage_left: for each two splits, what they still have in common.
        pseudo_queries: by kind, what became of those that were made.
        judged_by_people: the splits whose queries are not all pseudo-queries; empty where no pseudo-queries were made.
        training_queries_by_source: of a mix, how many training queries each source gives.
        own_documents: queries that have the id of a document; None where none has.
        own_negatives: how many documents the source gives as negatives of the training queries.
        judges: by split, who says what is relevant -> how many queries; earlier versions left it empty where it was
            people everywhere.
        counted: what the source's reader counted, in words -> how many.
        agreement: how far the machine that judged queries agrees with people; None if none did.
    """

    name: str
    documents: int
    queries: Mapping[str, int]
    leaks: str
    leaking_queries: Mapping[str, int]
    leakage_left: Sequence[Leakage]
    pseudo_queries: Mapping[str, PseudoQueryCounts] = field(default_factory=dict)
    judged_by_people: Sequence[str] = field(default_factory=list)
    training_queries_by_source: Mapping[str, int] = field(default_factory=dict)
    own_documents: OwnDocuments | None = None
    own_negatives: int = 0
    judges: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    agreement: Agreement | None = None


def write_counts(path: Path, counts: Counts) -> None:
    """Write counts as JSON, without the fields that say nothing about this collection."""
    optional = (
        "pseudo_queries",
        "judged_by_people",
        "training_queries_by_source",
        "own_documents",
        "own_negatives",
        "judges",
        "counted",
        "agreement",
    )
    values = asdict(counts)
    write_json(path, {name: value for name, value in values.items() if value or name not in optional})


def read_counts(path: Path) -> Counts:
    """Read what `write_counts` wrote, in this version or an earlier one.

    Raises:
        InputError: the file is missing or holds something else.
    """
    found: dict[str, Any] = read_json(path)
    try:
        leakage = [Leakage(**_renamed(pair, _LEAKAGE_IN_0_1)) for pair in found["leakage_left"]]
        made = {
            kind: PseudoQueryCounts(**_renamed(counts, _PSEUDO_QUERIES_IN_0_1))
            for kind, counts in found.get("pseudo_queries", {}).items()
        }
        own = OwnDocuments(**found["own_documents"]) if "own_documents" in found else None
        agreement = Agreement(**found["agreement"]) if "agreement" in found else None
        return Counts(
            **{**found, "leakage_left": leakage, "pseudo_queries": made, "own_documents": own, "agreement": agreement}
        )
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not the counts of a collection; delete {path.parent} and collect again") from None


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}

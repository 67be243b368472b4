"""Everything that `crossforge inspect` says of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossforge.retrievers.base import Retriever
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.leaks import leakage
from crossforge_train.inspection.ceiling import ceiling_facts
from crossforge_train.inspection.texts import document_facts, split_facts
from crossforge_train.inspection.tokens import token_facts, token_warnings


@dataclass(frozen=True)
class Inspection:
    """How to look at a collection.

    Attributes:
        depth: the largest number of first-stage candidates.
        max_queries: queries of a split that are searched.
        model: folder with the base model's tokenizer, or None to leave tokens out.
        max_length: tokens that the model reads of query and document together.
        seed: of all draws.
    """

    depth: int
    max_queries: int
    model: Path | None
    max_length: int
    seed: int


def collection_facts(collection: Collection, retriever: Retriever, wanted: Inspection) -> dict[str, Any]:
    """Counts, labels, leakage, what the first stage finds, tokens, and under `warnings` what should be looked at."""
    facts: dict[str, Any] = {
        "name": collection.name,
        **document_facts(collection),
        "splits": split_facts(collection),
        "leakage": leakage(collection),
        "first stage": ceiling_facts(collection, retriever, wanted.depth, wanted.max_queries, wanted.seed),
    }
    warnings = _warnings(facts)
    if wanted.model:
        facts["tokens"] = token_facts(collection, wanted.model, wanted.max_length, wanted.seed)
        warnings += token_warnings(facts["tokens"])
    return {**facts, "warnings": warnings}


def _warnings(facts: dict[str, Any]) -> list[str]:
    found = [f"{facts[name]} {name}" for name in ("empty documents",) if facts[name]]
    for pair in facts["leakage"]:
        first, second = pair["splits"]
        if any(pair["same query"]):
            found.append(f"{pair['same query'][0]} queries of {first} also stand in {second}")
    return found

"""Everything that `crossforge inspect` says about a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossforge.retrievers.base import Retriever
from crossforge.retrievers.lexical import lexical_rival
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.leaks import Leakage, leakage
from crossforge_train.inspection.ceiling import CeilingFacts, ceiling_facts
from crossforge_train.inspection.texts import SplitFacts, TextFacts, split_facts, text_facts
from crossforge_train.inspection.tokens import TokenFacts, token_facts, token_warnings


@dataclass(frozen=True)
class Inspection:
    """How to look at a collection.

    Attributes:
        depth: the largest number of first-stage candidates.
        max_queries: the most queries of a split to search.
        model: folder with the base model's tokenizer; None leaves tokens out.
        max_length: tokens that the model reads of query and document together.
        seed: of all samples.
        significance: p-value below which a difference counts in the proof.
    """

    depth: int
    max_queries: int
    model: Path | None
    max_length: int
    seed: int
    significance: float = 0.05


@dataclass(frozen=True)
class CollectionFacts:
    """What a collection holds.

    Attributes:
        name: of the collection.
        documents: how many.
        texts: how they look.
        splits: by split, its queries and labels.
        leakage: for each two splits, what they have in common.
        first_stage: by split, what the first stage finds; splits without a relevant document are left out.
        tokens: how the base model's tokenizer reads the texts; None without a tokenizer.
        warnings: sentences about what needs a look.
        own_documents: number of queries that are documents themselves, which are left out of their candidates.
    """

    name: str
    documents: int
    texts: TextFacts
    splits: Mapping[str, SplitFacts]
    leakage: Sequence[Leakage]
    first_stage: Mapping[str, CeilingFacts]
    tokens: TokenFacts | None
    warnings: Sequence[str]
    own_documents: int = 0


def collection_facts(collection: Collection, retriever: Retriever, wanted: Inspection) -> CollectionFacts:
    """Count texts, labels and leaks, measure the first stage, and say what needs a look.

    Raises:
        InputError: there is no tokenizer in the model's folder.
    """
    texts, leaks = text_facts(collection.corpus), leakage(collection)
    tokens = token_facts(collection, wanted.model, wanted.max_length, wanted.seed) if wanted.model else None
    return CollectionFacts(
        name=collection.name,
        documents=len(collection.corpus),
        texts=texts,
        splits=split_facts(collection),
        leakage=leaks,
        first_stage=ceiling_facts(
            collection,
            retriever,
            wanted.depth,
            wanted.max_queries,
            wanted.seed,
            rival=lexical_rival(retriever, collection.corpus.values()),
            significance=wanted.significance,
        ),
        tokens=tokens,
        warnings=[*_warnings(texts, leaks), *(token_warnings(tokens) if tokens else [])],
        own_documents=len(collection.own_documents or {}),
    )


def _warnings(texts: TextFacts, leaks: Sequence[Leakage]) -> list[str]:
    found = [f"empty documents: {texts.empty:,}"] if texts.empty else []
    for pair in leaks:
        first, second = pair.splits
        if any(pair.same_query):
            found.append(f"queries of {first} that are also in {second}: {pair.same_query[0]:,}")
    return found

"""Groups of ids to the rows of text that are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from crossforge.errors import InputError
from crossforge.pipeline import RetrieveAndRerank
from crossforge_train.collections.collection import Collection
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import Reporter


def readable(
    groups: Sequence[Group], collection: Collection, pipeline: RetrieveAndRerank, reporter: Reporter
) -> list[Group]:
    """The groups whose query leaves room for a document; queries are never cut."""
    kept = [group for group in groups if pipeline.reranker.tokenizer.fits(collection.queries[group.query_id])]
    if not kept:
        raise InputError(
            f"no training query leaves room for a document in {pipeline.reranker.tokenizer.max_length} tokens"
        )
    if dropped := len(groups) - len(kept):
        reporter.note(f"{dropped} groups left out: their query fills training.max_length by itself")
    return kept


def make_rows(groups: Sequence[Group], collection: Collection, pipeline: RetrieveAndRerank) -> Dataset:
    """Rows as `GroupCollator` takes them; of a long document the passage that serving would read."""

    def row(group: Group) -> dict[str, Any]:
        query = collection.queries[group.query_id]
        documents = [collection.corpus[doc_id] for doc_id in group.doc_ids]
        texts = [passages[0] for passages in pipeline.passages(query, documents)]
        return {"query": query, "documents": texts, "label": list(group.labels), "teacher": list(group.teacher)}

    return Dataset.from_list([row(group) for group in groups])

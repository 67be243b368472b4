"""Groups of ids to the rows of text that are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from datasets import Dataset

from crossforge.errors import InputError
from crossforge.passages import PassageWindows
from crossforge.pipeline import RetrieveAndRerank
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import Reporter
from crossforge_train.training.config import LongDocuments


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


class Rows(NamedTuple):
    """What is trained on.

    Attributes:
        dataset: rows as `GroupCollator` takes them.
        cut: share of the documents that are longer than the model reads.
    """

    dataset: Dataset
    cut: float


def make_rows(
    groups: Sequence[Group], collection: Collection, split: str, pipeline: RetrieveAndRerank, window: LongDocuments
) -> Rows:
    """Texts for the ids of groups of a split; of a long document the passage that `window` says."""
    qrels = collection.qrels(split)
    windows = PassageWindows(pipeline.reranker.tokenizer)
    cut = 0

    def row(group: Group) -> dict[str, Any]:
        nonlocal cut
        query = collection.queries[group.query_id]
        documents = [collection.corpus[doc_id] for doc_id in group.doc_ids]
        if window == "best_window":
            texts = [passages[0] for passages in pipeline.passages(query, documents)]
        else:
            texts = [windows.split(query, document)[0] for document in documents]
        cut += sum(text != document.full_text for text, document in zip(texts, documents, strict=True))
        return {
            "query": query,
            "documents": texts,
            "label": list(group.labels),
            "teacher": list(group.teacher),
            "doc_ids": list(group.doc_ids),
            "positives": positives(qrels[group.query_id]),
        }

    dataset = Dataset.from_list([row(group) for group in groups])
    return Rows(dataset, cut / sum(len(group.doc_ids) for group in groups))

"""Turns groups of ids into training rows of text; both stay on disk until a batch needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from datasets import Dataset

from crossforge.batching import blocks
from crossforge.errors import InputError
from crossforge.files import written_atomically
from crossforge.pipeline import RetrieveAndRerank
from crossforge.tokenization import PairTokenizer
from crossforge_train import processes
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.collections.same_text import spared_documents
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import Reporter

_SCHEMA = pa.schema(
    [("query_id", pa.large_string()), ("doc_ids", pa.large_list(pa.large_string())),
     ("label", pa.large_list(pa.int64())), ("teacher", pa.large_list(pa.float64()))]
)  # fmt: skip
_BATCH = 1000
_MEASURED_ROWS = 500


class Rows(NamedTuple):
    """The training rows.

    Attributes:
        dataset: rows for `GroupCollator`.
        cut: share of the documents that are longer than the model reads, estimated from about 500 rows.
        mistaken: share of the rows in which the teacher ranks another document above a relevant one; 0 without one.
    """

    dataset: Dataset
    cut: float
    mistaken: float


def make_rows(
    groups: Iterable[Group],
    collection: Collection,
    split: str,
    pipeline: RetrieveAndRerank,
    *,
    path: Path,
    reporter: Reporter,
) -> Rows:
    """Make the rows of a split, in the order of its groups.

    The file holds ids, labels and teacher scores and is memory-mapped. Texts are looked up in the corpus when a row is
    read; a long document contributes the passage that the pipeline reads first. Memory does not grow with the groups.

    Args:
        groups: groups, read once. Queries are never truncated: groups whose query leaves no room for a document are
            left out.
        collection: collection with the texts.
        split: split of the groups' queries.
        pipeline: chooses passages.
        path: file to write.
        reporter: shows how many groups were left out.

    Raises:
        InputError: no query leaves room for a document.
    """
    tokenizer = pipeline.reranker.tokenizer
    kept, dropped, mistaken = processes.from_main(lambda: _write(groups, collection, tokenizer, path))
    if not kept:
        raise InputError(f"no training query leaves room for a document in {tokenizer.max_length} tokens")
    if dropped:
        reporter.note(f"{dropped} groups left out: their query alone fills training.max_length")
    dataset = Dataset.from_file(str(path)).with_transform(_Texts(collection, split, pipeline))
    return Rows(dataset, processes.from_main(lambda: _share_of_cut(dataset, collection)), mistaken / kept)


def _share_of_cut(dataset: Dataset, collection: Collection) -> float:
    cut = seen = 0
    for number in range(0, len(dataset), max(1, len(dataset) // _MEASURED_ROWS)):
        row = dataset[number]
        seen += len(row["doc_ids"])
        pairs = zip(row["doc_ids"], row["documents"], strict=True)
        cut += sum(text != collection.corpus[doc_id].full_text for doc_id, text in pairs)
    return cut / seen


def _write(
    groups: Iterable[Group], collection: Collection, tokenizer: PairTokenizer, path: Path
) -> tuple[int, int, int]:
    """Write the readable groups; returns the numbers of groups written, left out, and mistaken by the teacher."""
    seen = kept = mistaken = 0

    def readable() -> Iterator[dict[str, Any]]:
        nonlocal seen, kept, mistaken
        for group in groups:
            seen += 1
            if tokenizer.fits(collection.queries[group.query_id]):
                kept += 1
                mistaken += _is_mistaken(group)
                yield {"query_id": group.query_id, "doc_ids": group.doc_ids, "label": group.labels,
                       "teacher": group.teacher}  # fmt: skip

    # The stream format, not the file format: `Dataset.from_file` maps streams.
    with (
        written_atomically(path) as beside,
        pa.OSFile(str(beside), "wb") as sink,
        pa.ipc.new_stream(sink, _SCHEMA) as writer,
    ):
        for block in blocks(readable(), _BATCH):
            writer.write_batch(pa.RecordBatch.from_pylist(block, _SCHEMA))
    return kept, seen - kept, mistaken


def _is_mistaken(group: Group) -> bool:
    """Whether the teacher ranks a document that is not relevant above the group's relevant one, which is the first."""
    return any(score > group.teacher[0] for score, label in zip(group.teacher, group.labels, strict=False) if not label)


class _Texts:
    """Transforms columns of ids into columns of texts."""

    def __init__(self, collection: Collection, split: str, pipeline: RetrieveAndRerank) -> None:
        self._collection = collection
        self._qrels = collection.qrels(split)
        self._spared = spared_documents(collection, split)
        self._pipeline = pipeline

    def __call__(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        queries = [self._collection.queries[query_id] for query_id in columns["query_id"]]
        return {
            "query": queries,
            "documents": [self._read(query, ids) for query, ids in zip(queries, columns["doc_ids"], strict=True)],
            "label": columns["label"],
            "teacher": columns["teacher"],
            "doc_ids": columns["doc_ids"],
            "positives": [self._no_negatives(query_id) for query_id in columns["query_id"]],
        }

    def _no_negatives(self, query_id: str) -> list[str]:
        """Documents that are not to join the query's group as negatives: the relevant ones and those spared."""
        return [*positives(self._qrels[query_id]), *self._spared.get(query_id, ())]

    def __reduce__(self) -> str:
        # `datasets` hashes a transform by pickling it, which would copy the queries and the model.
        raise TypeError("texts can only be looked up in this process")

    def _read(self, query: str, doc_ids: list[str]) -> list[str]:
        documents = [self._collection.corpus[doc_id] for doc_id in doc_ids]
        return [passages[0] for passages in self._pipeline.passages(query, documents)]

"""Measures, on queries that people judged, how many tokens of a text a bi-encoder should read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossforge.documents import Document
from crossforge.retrievers.base import Retriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels, positives
from crossforge_train.evaluation.metrics import drawn_queries
from crossforge_train.evaluation.moving import values_found

# Many encoders were trained on short texts, and a document often begins with what it is about.
LENGTHS = (128, 256, 512)

# With fewer queries, chance decides between two lengths. More would cost minutes.
_MOST_QUERIES = 300
_CANDIDATES = 10  # that words find for each query
# A length that fewer of the texts exceed is not tried.
_LONG_TEXTS = 0.05


@dataclass(frozen=True)
class Sample:
    """Queries, and documents that are hard to tell apart for them.

    Attributes:
        collection: what they are drawn from.
        judged: the queries' judgements.
        documents: what words find for the queries, and their relevant documents.
    """

    collection: Collection
    judged: Qrels
    documents: Sequence[Document]


def draw_sample(collection: Collection, qrels: Qrels, words: Retriever, seed: int) -> Sample:
    """A sample of at most 300 queries, whose documents cost little to embed however large the corpus is.

    Args:
        collection: what the queries belong to.
        qrels: their judgements.
        words: searches the corpus by words.
        seed: seed of the draw.
    """
    judged = drawn_queries(qrels, _MOST_QUERIES, seed)
    asked = {query_id: collection.queries[query_id] for query_id in judged}
    found = ids_by_query(retrieve(collection, words, asked, _CANDIDATES))
    near = (doc_id for query_id, labels in judged.items() for doc_id in (*positives(labels), *found[query_id]))
    return Sample(collection, judged, [collection.corpus[doc_id] for doc_id in dict.fromkeys(near)])


def lengths_that_differ(tokens: Sequence[int], most: int) -> list[int]:
    """The lengths to try, shortest first: the encoder's limit, 512 at most, and each shorter one that enough exceed.

    Args:
        tokens: length of each text, as far as the encoder can read it.
        most: tokens that it can read.
    """
    longest = min(most, LENGTHS[-1])
    cutting = [
        length for length in LENGTHS if length < longest and _longer_than(length, tokens) >= _LONG_TEXTS * len(tokens)
    ]
    return [*cutting, longest]


def value_of_length(sample: Sample, retriever: Retriever, metric: str) -> float:
    """What a retriever over a sample's documents finds for its queries: the mean of the metric."""
    return float(values_found(retriever, sample.collection, sample.judged, metric).mean())


def best_length(values: Mapping[int, float]) -> int:
    """The tokens that find most; of equals the fewest, which are the fastest.

    Args:
        values: tokens -> mean metric.
    """
    return max(sorted(values), key=values.__getitem__)


def _longer_than(length: int, tokens: Sequence[int]) -> int:
    return sum(count > length for count in tokens)

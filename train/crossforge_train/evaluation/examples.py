"""The queries that gained and lost most, with both orders side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crossforge.documents import Document
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.evaluation.metrics import Rankings

_QUERIES = 10
_DOCUMENTS = 10
_CHARACTERS = 160

# Document id -> name of the part of a first stage that found it -> its rank there.
Origins = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class ExampleDocument:
    """A document at one rank.

    Attributes:
        doc_id: its id.
        text: its beginning.
        relevance: its label; None if it is unjudged.
        moved: how many ranks it moved up; None if it is new.
        found_by: each part of a combined first stage that found it, and its rank there.
    """

    doc_id: str
    text: str
    relevance: int | None
    moved: int | None
    found_by: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """One query before and after reranking.

    Attributes:
        query_id: id of the query.
        query: text of the query.
        gain: change in the metric.
        before: top of the baseline's order.
        after: top of the shipped order.
    """

    query_id: str
    query: str
    gain: float
    before: Sequence[ExampleDocument]
    after: Sequence[ExampleDocument]


def best_and_worst(
    gains: Mapping[str, float],
    before: Rankings,
    after: Rankings,
    collection: Collection,
    qrels: Qrels,
    origins: Callable[[str], Origins] = lambda query: {},
) -> tuple[list[Example], list[Example]]:
    """The ten queries that gained most and the ten that lost most; unchanged queries are in neither list.

    Args:
        gains: query id -> change in the metric.
        before: the baseline's order.
        after: the shipped order.
        collection: texts.
        qrels: judgements.
        origins: says of a query's text which part of the first stage found each document.
    """
    order = sorted(gains, key=lambda query_id: (-gains[query_id], query_id))

    def example(query_id: str) -> Example:
        orders = before.get(query_id, ()), after.get(query_id, ())
        judgements, found_by = qrels[query_id], origins(collection.queries[query_id])
        return Example(
            query_id,
            collection.queries[query_id],
            gains[query_id],
            _places(orders[0], orders[0], judgements, collection.corpus, found_by),
            _places(orders[1], orders[0], judgements, collection.corpus, found_by),
        )

    best = [example(query_id) for query_id in order[:_QUERIES] if gains[query_id] > 0]
    worst = [example(query_id) for query_id in reversed(order[-_QUERIES:]) if gains[query_id] < 0]
    return best, worst


def _places(
    order: Sequence[str],
    before: Sequence[str],
    judgements: Mapping[str, int],
    corpus: Mapping[str, Document],
    origins: Origins,
) -> list[ExampleDocument]:
    ranks = {doc_id: rank for rank, doc_id in enumerate(before)}
    return [
        ExampleDocument(
            doc_id,
            snippet(corpus[doc_id]) if doc_id in corpus else "(not in the corpus)",
            judgements.get(doc_id),
            ranks[doc_id] - rank if doc_id in ranks else None,
            origins.get(doc_id, {}),
        )
        for rank, doc_id in enumerate(order[:_DOCUMENTS])
    ]


def snippet(document: Document) -> str:
    """The beginning of a document on one line."""
    text = " ".join(document.full_text.split())
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1].rstrip() + "…"

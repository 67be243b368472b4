"""Proposes queries for documents that have none, and the documents that a person should judge for them.

The documents are chosen by depth pooling: the top documents of every system are judged, so that no system is measured
on unjudged documents. Source: Sparck Jones and van Rijsbergen, "Report on the need for and provision of an 'ideal'
information retrieval test collection", 1975.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crossforge.documents import Document
from crossforge.files import read_lines
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.adaptation.drawing import draw_queries
from crossforge_train.adaptation.reader import makers
from crossforge_train.collections.splits import fingerprint, normalized
from crossforge_train.config.documents import DocumentsSource
from crossforge_train.judging import JUDGING_COLUMNS

# People type keywords and questions; titles and sentences would match their own documents verbatim.
_QUOTAS = {"title": 0, "sentence": 0, "keywords": 1, "question": 1}
_RERANKED = 30  # first-stage candidates that the reranker orders


def proposed_queries(corpus: Mapping[str, Document], source: DocumentsSource, count: int) -> dict[str, str]:
    """Query id -> text: keywords and questions from drawn documents that retrieval finds again with them."""
    settings = source.model_copy(update={"quotas": source.quotas.model_copy(update=_QUOTAS), "queries": count})
    drawn = draw_queries(corpus, makers(corpus, settings), settings)
    return {query.query_id: query.text for found in drawn.splits.values() for query in found}


def written_queries(path: Path) -> dict[str, str]:
    """Read queries from a file, one per line: query id -> text.

    Raises:
        InputError: the file cannot be read.
    """
    lines = (" ".join(line.split()) for line in read_lines(path))
    return {f"query-{fingerprint(normalized(line))[:16]}": line for line in lines if line}


def rows_to_judge(
    corpus: Mapping[str, Document], queries: Mapping[str, str], reranker: Reranker | None, depth: int
) -> list[dict[str, str]]:
    """The pooled documents of each query; queries on which first stage and reranker disagree most come first.

    Args:
        corpus: document id -> document.
        queries: query id -> text.
        reranker: reranks the first stage's candidates; None if there is none yet.
        depth: number of documents to judge per system.
    """
    run = fit_retriever(corpus.values())
    found = run.search(queries, max(depth, _RERANKED), ties_by_id=True)
    orders = {query_id: [[one.doc_id for one in candidates]] for query_id, candidates in found.items() if candidates}
    if reranker is not None:
        pipeline = RetrieveAndRerank(corpus, run, reranker)
        for query_id, both in orders.items():
            both.append([one.doc_id for one in pipeline.rerank(queries[query_id], found[query_id])])
    agreement = {query_id: _agreement(both, depth) for query_id, both in orders.items()}
    return [
        dict(
            zip(
                JUDGING_COLUMNS,
                (query_id, doc_id, queries[query_id], corpus[doc_id].title, corpus[doc_id].text),
                strict=True,
            )
        )
        for query_id in sorted(orders, key=lambda query_id: (agreement[query_id], query_id))
        for doc_id in _pooled(orders[query_id], depth)
    ]


def _agreement(orders: Sequence[Sequence[str]], depth: int) -> int:
    """Number of documents that all systems have among their first `depth`."""
    return len(set.intersection(*(set(order[:depth]) for order in orders)))


def _pooled(orders: Sequence[Sequence[str]], depth: int) -> Iterator[str]:
    """The first `depth` documents of all systems, each once, by rank."""
    return iter(
        dict.fromkeys(doc_id for rank in zip(*(order[:depth] for order in orders), strict=True) for doc_id in rank)
    )

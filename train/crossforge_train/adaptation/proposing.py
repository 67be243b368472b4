"""Proposes queries for documents that have none, and the documents that a person should judge for them.

The documents are chosen by depth pooling: the top documents of every system are judged, so that no system is measured
on unjudged documents. Where a judge is to be measured by people, what it grades comes first. Source: Sparck Jones and
van Rijsbergen, "Report on the need for and provision of an 'ideal' information retrieval test collection", 1975.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from crossforge.documents import Document
from crossforge.files import read_lines
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.base import Retriever
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.registry import LEXICAL, kind_of
from crossforge_train.adaptation.drawing import draw_queries
from crossforge_train.adaptation.log_labels import fused_documents
from crossforge_train.adaptation.query_log import read_query_log
from crossforge_train.adaptation.reader import makers
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.collections.query_key import id_of_query
from crossforge_train.collections.readers.assembly import some
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.collections.splits import drawn_shares
from crossforge_train.config.documents import DocumentsSource
from crossforge_train.judging import JUDGING_COLUMNS

# People type keywords and questions; titles and sentences would match their own documents verbatim.
_QUOTAS = {"title": 0, "sentence": 0, "keywords": 1, "question": 1}
_RERANKED = 30  # first-stage candidates that the reranker orders


def proposed_queries(corpus: Mapping[str, Document], source: DocumentsSource, count: int) -> dict[str, str]:
    """Query id -> text: keywords and questions from drawn documents that retrieval finds again with them.

    Where a judge is to grade documents for logged queries, some of these, by a seeded draw: a judge's kappa on queries
    of another kind is another kappa.
    """
    if source.judge is not None and source.log is not None:
        logged = [query.text for query in read_query_log(source.log, Counter())]
        return _with_ids(seeded_draw(logged, count, source.seed))
    settings = source.model_copy(update={"quotas": source.quotas.model_copy(update=_QUOTAS), "queries": count})
    drawn = draw_queries(corpus, makers(corpus, settings), settings)
    return {query.query_id: query.text for found in drawn.splits.values() for query in found}


def written_queries(path: Path) -> dict[str, str]:
    """Read queries from a file, one per line: query id -> text.

    Raises:
        InputError: the file cannot be read, or has no queries.
    """
    lines = (" ".join(line.split()) for line in read_lines(path))
    return _with_ids(some((line for line in lines if line), f"{path}: no queries in it"))


def _with_ids(texts: Iterable[str]) -> dict[str, str]:
    """The first spelling stands for all that are the same query."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(id_of_query("query", text), text)
    return found


def judges_rows(
    corpus: Mapping[str, Document], queries: Mapping[str, str], source: DocumentsSource, workplace: Workplace
) -> list[dict[str, str]]:
    """All documents that the judge grades for each query, in a seeded order of the queries; none without a judge.

    Kappa depends on how many of the documents are relevant, and more of the first ones are. So people judge as deep as
    the judge does, and whoever stops early leaves out whole queries, drawn by chance.

    Args:
        corpus: document id -> document.
        queries: query id -> text.
        source: has a log, if there is a judge.
        workplace: where documents are embedded.

    Raises:
        InputError: `log.model` is no bi-encoder.
    """
    if source.judge is None or source.log is None:
        return []
    found = fused_documents(queries, corpus, source.judge.depth, source.log.model, workplace)
    shares = drawn_shares({query_id: query_id for query_id in queries}, f"{source.seed}:judge")
    return [
        _row(query_id, queries[query_id], corpus[doc_id])
        for query_id in sorted(found, key=lambda query_id: (shares[query_id], query_id))
        for doc_id in found[query_id]
    ]


def rows_to_judge(
    corpus: Mapping[str, Document],
    queries: Mapping[str, str],
    depth: int,
    reranker: Reranker | None = None,
    first_stage: Retriever | None = None,
) -> list[dict[str, str]]:
    """The pooled documents of each query; queries on which the systems disagree most come first.

    The systems are the first stage, TF-IDF if that is no index of words, and the reranker.

    Args:
        corpus: document id -> document.
        queries: query id -> text.
        depth: number of documents to judge per system.
        reranker: reranks the candidates; None if there is none yet.
        first_stage: finds them; None: TF-IDF does.
    """
    words = fit_retriever(corpus.values())
    retriever = first_stage or words
    run = retriever.search(queries, max(depth, _RERANKED), ties_by_id=True)
    is_lexical = kind_of(retriever) == LEXICAL
    pools = [run] if is_lexical else [words.search(queries, depth, ties_by_id=True), run]
    orders = {query_id: [[one.doc_id for one in pool[query_id]] for pool in pools] for query_id in run if run[query_id]}
    if reranker is not None:
        pipeline = RetrieveAndRerank(corpus, retriever, reranker)
        for query_id, found in orders.items():
            found.append([one.doc_id for one in pipeline.rerank(queries[query_id], run[query_id])])
    agreement = {query_id: _agreement(both, depth) for query_id, both in orders.items()}
    return [
        _row(query_id, queries[query_id], corpus[doc_id])
        for query_id in sorted(orders, key=lambda query_id: (agreement[query_id], query_id))
        for doc_id in _pooled(orders[query_id], depth)
    ]


def _row(query_id: str, query: str, document: Document) -> dict[str, str]:
    values = (query_id, document.doc_id, query, document.title, document.text)
    return dict(zip(JUDGING_COLUMNS, values, strict=True))


def _agreement(orders: Sequence[Sequence[str]], depth: int) -> int:
    """Number of documents that all systems have among their first `depth`."""
    return len(set.intersection(*(set(order[:depth]) for order in orders)))


def _pooled(orders: Sequence[Sequence[str]], depth: int) -> Iterator[str]:
    """The first `depth` documents of all systems, each once, by rank."""
    ranks = zip_longest(*(order[:depth] for order in orders))
    return iter(dict.fromkeys(doc_id for rank in ranks for doc_id in rank if doc_id is not None))

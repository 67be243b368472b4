"""Labels for logged queries: the document that the first stage and a bi-encoder agree on.

A pseudo-query is kept if retrieval brings its document back (see consistency.py). A logged query has no document, so
that two systems have to find the same one, each by its own means; where they differ, nobody knows who is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import Candidate, Run
from crossforge_train.collections.readers.workplace import NOWHERE, Workplace
from crossforge_train.encoders.embeddings import open_embeddings

_DAMPING = 60  # of reciprocal ranks


def agreed_documents(
    queries: Mapping[str, str], corpus: Mapping[str, Document], k: int, model: str, workplace: Workplace = NOWHERE
) -> dict[str, str]:
    """Query id -> the document that both find among their first `k`; queries without one are left out.

    Of several such documents, the one with the best reciprocal ranks is taken.

    Args:
        queries: query id -> text.
        corpus: the documents.
        k: deepest rank that counts.
        model: a bi-encoder: a folder or hub id.
        workplace: where the vectors of the documents are, or are kept.

    Raises:
        InputError: the model is no bi-encoder.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", SIGIR 2009.
    """
    by_words, by_vectors = _found(queries, corpus, k, model, workplace)
    found = {key: _agreed(by_words.get(key, ()), by_vectors.get(key, ())) for key in queries}
    return {key: doc_id for key, doc_id in found.items() if doc_id is not None}


def fused_documents(
    queries: Mapping[str, str], corpus: Mapping[str, Document], k: int, model: str, workplace: Workplace = NOWHERE
) -> dict[str, list[str]]:
    """Query id -> the first `k` documents of both together, by the sum of their reciprocal ranks.

    Args and errors as for `agreed_documents`.
    """
    lists = _found(queries, corpus, k, model, workplace)
    return {key: _fused([_ranks(found.get(key, ())) for found in lists])[:k] for key in queries}


def _found(
    queries: Mapping[str, str], corpus: Mapping[str, Document], k: int, model: str, workplace: Workplace
) -> tuple[Run, Run]:
    """What words find, and what vectors find."""
    by_words = fit_retriever(corpus.values()).search(queries, k, ties_by_id=True)
    with workplace.embedding_folder() as folder:
        embeddings = open_embeddings(model, workplace.encoder_max_length, folder, workplace.reporter)
        if embeddings is None:
            raise InputError(f"documents.log.model: {model} is no bi-encoder")
        return by_words, embeddings.retriever(corpus.values()).search(queries, k, ties_by_id=True)


def _agreed(first: Sequence[Candidate], second: Sequence[Candidate]) -> str | None:
    ranks = [_ranks(first), _ranks(second)]
    both = ranks[0].keys() & ranks[1].keys()
    return next((doc_id for doc_id in _fused(ranks) if doc_id in both), None)


def _ranks(found: Sequence[Candidate]) -> dict[str, int]:
    return {candidate.doc_id: rank for rank, candidate in enumerate(found, start=1)}


def _fused(lists: Sequence[Mapping[str, int]]) -> list[str]:
    """All documents, the one with the largest sum of reciprocal ranks first."""
    sums: dict[str, float] = {}
    for ranks in lists:
        for doc_id, rank in ranks.items():
            sums[doc_id] = sums.get(doc_id, 0.0) + 1 / (_DAMPING + rank)
    return sorted(sums, key=lambda doc_id: (-sums[doc_id], doc_id))

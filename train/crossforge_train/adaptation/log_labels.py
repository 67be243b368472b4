"""Labels for logged queries: the document that the first stage and a bi-encoder agree on.

A pseudo-query is kept if retrieval brings its document back (see consistency.py). A logged query has no document, so
that two systems have to find the same one, each by its own means; where they differ, nobody knows who is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import Candidate
from crossforge_train.collections.readers.workplace import NOWHERE, Workplace
from crossforge_train.embeddings import open_embeddings

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
    by_words = fit_retriever(corpus.values()).search(queries, k, ties_by_id=True)
    with workplace.embedding_folder() as folder:
        embeddings = open_embeddings(model, workplace.encoder_max_length, folder, workplace.reporter)
        if embeddings is None:
            raise InputError(f"documents.log.model: {model} is no bi-encoder")
        by_vectors = embeddings.retriever(corpus.values()).search(queries, k, ties_by_id=True)
    found = {key: _agreed(by_words.get(key, ()), by_vectors.get(key, ())) for key in queries}
    return {key: doc_id for key, doc_id in found.items() if doc_id is not None}


def _agreed(first: Sequence[Candidate], second: Sequence[Candidate]) -> str | None:
    ranks = [{candidate.doc_id: rank for rank, candidate in enumerate(found, start=1)} for found in (first, second)]
    both = ranks[0].keys() & ranks[1].keys()
    return min(both, key=lambda doc_id: (-sum(1 / (_DAMPING + of[doc_id]) for of in ranks), doc_id), default=None)

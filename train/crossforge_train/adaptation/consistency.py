"""The consistency filter: a pseudo-query is kept if retrieval finds one of its documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import Run
from crossforge_train.adaptation.pseudo_queries import PseudoQuery
from crossforge_train.collections.readers.workplace import NOWHERE, Workplace
from crossforge_train.encoders.embeddings import open_embeddings


def brought_back(
    queries: Sequence[PseudoQuery],
    corpus: Mapping[str, Document],
    k: int,
    model: str | None,
    workplace: Workplace = NOWHERE,
) -> set[str]:
    """The ids of the queries that retrieve one of their documents among the first `k`.

    Args:
        queries: queries with distinct ids.
        corpus: the documents, with the queries' own words cut out.
        k: deepest rank that counts.
        model: a SentenceTransformer that searches for what the first stage missed; None for no second search.
        workplace: where the vectors of the documents are, or are kept.

    Source: Dai et al., "Promptagator: Few-shot Dense Retrieval From 8 Examples", ICLR 2023, which filters with the
    retriever trained on the queries.
    """
    texts = {query.query_id: query.text for query in queries}
    found = _found(queries, fit_retriever(corpus.values()).search(texts, k, ties_by_id=True))
    missed = [query for query in queries if query.query_id not in found]
    if model is None or not missed:
        return found
    with workplace.embedding_folder() as folder:
        embeddings = open_embeddings(model, workplace.encoder_max_length, folder, workplace.reporter)
        if embeddings is None:
            raise InputError(f"consistency_model: {model} is no bi-encoder")
        asked = {query.query_id: query.text for query in missed}
        run = embeddings.retriever(corpus.values()).search(asked, k, ties_by_id=True)
    return found | _found(missed, run)


def _found(queries: Iterable[PseudoQuery], run: Run) -> set[str]:
    return {
        query.query_id
        for query in queries
        if not {candidate.doc_id for candidate in run.get(query.query_id, ())}.isdisjoint(query.doc_ids)
    }

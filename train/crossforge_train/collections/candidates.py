"""Candidates for the queries of a collection, without the queries' own documents.

Whoever searches for the queries of a collection does so through `retrieve` or `best`, so that mining, training and
every measured system leave out the same documents. What others found, such as a TREC run, goes through `without_own`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from crossforge.errors import InputError
from crossforge.retrievers.base import Retriever
from crossforge.runs import Candidate, Run
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import original_query


def retrieve(
    collection: Collection, retriever: Retriever, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False
) -> dict[str, list[Candidate]]:
    """The `k` best candidates of each query; see `Retriever.search`.

    Args:
        collection: what the queries belong to.
        retriever: over the collection's corpus.
        queries: query id -> text.
        k: how many candidates; as many if a query's own document is left out.
        ties_by_id: put equal scores in the order of ids.
    """
    # Copies of a query by its weight find what it finds, and others know only its id.
    copied = {query_id: original_query(query_id, collection.queries) for query_id in queries}
    # Another text is another query, whatever its id looks like.
    asked = {key if collection.queries.get(key) == queries[own] else own: queries[own] for own, key in copied.items()}

    def search(wanted: int) -> Run:
        return for_copies(collection, queries, retriever.search(asked, wanted, ties_by_id=ties_by_id))

    return best(collection, queries, k, search)


def for_copies(collection: Collection, query_ids: Iterable[str], run: Run) -> Run:
    """What a run has for each of these queries or, for a copy that it does not know, for the original.

    Args:
        collection: what the queries belong to.
        query_ids: the queries; those that the run does not know are left out.
        run: such as a file that knows nothing of weights.
    """
    known = {key: key if key in run else original_query(key, collection.queries) for key in query_ids}
    return {query_id: run[key] for query_id, key in known.items() if key in run}


def best(
    collection: Collection, query_ids: Iterable[str], k: int, search: Callable[[int], Run]
) -> dict[str, list[Candidate]]:
    """The `k` best candidates of each query, by a search that is asked for one more if an own document may be in it."""
    own = collection.own_documents or {}
    found = search(k + any(query_id in own for query_id in query_ids))
    return {query_id: candidates[:k] for query_id, candidates in without_own(collection, found).items()}


def require_order(run: Run, split: str) -> None:
    """Raise `InputError` if no query has two candidates, so that there is nothing to put in order."""
    if all(len(candidates) < 2 for candidates in run.values()):
        raise InputError(
            f"split {split}: none of its {len(run):,} queries has two candidates, so there is no order to improve; "
            "raise first_stage.depth, add documents, or choose a first stage that finds more of them"
        )


def without_own(collection: Collection, run: Run) -> dict[str, list[Candidate]]:
    """A run without the queries' own documents."""
    own = collection.own_documents or {}
    return {
        query_id: [found for found in candidates if found.doc_id != own.get(query_id)]
        for query_id, candidates in run.items()
    }


def orders_without_own(collection: Collection, orders: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Document ids by query, without the queries' own documents."""
    own = collection.own_documents or {}
    return {
        query_id: [doc_id for doc_id in doc_ids if doc_id != own.get(query_id)] for query_id, doc_ids in orders.items()
    }

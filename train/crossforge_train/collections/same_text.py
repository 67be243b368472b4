"""What is known of a query through all queries of its split that have the same text, such as two ids in a log."""

from __future__ import annotations

from collections.abc import Mapping

from crossforge_train.collections.collection import Collection, positives
from crossforge_train.collections.query_key import query_key


def judged_by_text(collection: Collection, split: str) -> dict[str, Mapping[str, int]]:
    """Query id -> the judgements of all queries of the split with its text; the higher relevance wins.

    `query_key` says which texts are the same.
    """
    qrels = collection.qrels(split)
    texts = {query_id: query_key(collection.queries[query_id]) for query_id in qrels}
    judged: dict[str, dict[str, int]] = {}
    for query_id, judgements in qrels.items():
        merged = judged.setdefault(texts[query_id], {})
        for doc_id, relevance in judgements.items():
            merged[doc_id] = max(relevance, merged.get(doc_id, 0))
    return {query_id: judged[text] for query_id, text in texts.items()}


def spared_documents(collection: Collection, split: str) -> dict[str, list[str]]:
    """Query id -> the documents that are no negatives of it, besides those that are judged relevant to it.

    These are relevant to another query with its text, or the document is the query itself. Queries without any are left
    out.
    """
    own, found = collection.own_documents or {}, {}
    qrels = collection.qrels(split)
    for query_id, judged in judged_by_text(collection, split).items():
        relevant = {doc_id for doc_id, relevance in qrels[query_id].items() if relevance > 0}
        itself = own.get(query_id)
        spared = [doc_id for doc_id in positives(judged) if doc_id not in relevant and doc_id != itself]
        if itself is not None:
            spared.append(itself)
        if spared:
            found[query_id] = spared
    return found

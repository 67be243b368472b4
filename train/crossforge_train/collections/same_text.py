"""What is known of a query through all queries of its split that have the same text, such as two ids in a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crossforge.documents import Document
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.collections.query_key import query_key
from crossforge_train.collections.splits import fingerprint


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

    These are relevant to another query with its text, or have the very title and text of a document that is relevant to
    it, so that no model can tell the two apart; or the document is the query itself. Queries without any are left out.
    """
    own, found = collection.own_documents or {}, {}
    qrels = collection.qrels(split)
    known = {query_id: positives(judged) for query_id, judged in judged_by_text(collection, split).items()}
    same = _with_same_text(collection.corpus, {doc_id for doc_ids in known.values() for doc_id in doc_ids})
    for query_id, doc_ids in known.items():
        copies = [copy for doc_id in doc_ids for copy in same.get(doc_id, ())]
        itself = own.get(query_id)
        besides = {doc_id for doc_id, relevance in qrels[query_id].items() if relevance > 0} | {itself}
        spared = [doc_id for doc_id in dict.fromkeys([*doc_ids, *copies]) if doc_id not in besides]
        if itself is not None:
            spared.append(itself)
        if spared:
            found[query_id] = spared
    return found


def _with_same_text(corpus: Mapping[str, Document], doc_ids: Iterable[str]) -> dict[str, list[str]]:
    """Document id -> all documents with its very title and text; those that have them alone are left out.

    Copies that were edited are not looked for: whole corpora are compared here.
    """
    texts = {doc_id: fingerprint(corpus[doc_id].full_text) for doc_id in doc_ids}
    having: dict[str, list[str]] = {text: [] for text in texts.values()}
    for document in corpus.values():
        if (others := having.get(fingerprint(document.full_text))) is not None:
            others.append(document.doc_id)
    return {doc_id: having[text] for doc_id, text in texts.items() if len(having[text]) > 1}

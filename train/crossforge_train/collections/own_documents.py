"""Queries that are documents of the corpus themselves: which they are, and whether their documents are left out.

In ArguAna, Quora and logs of "more like this" each query is a document, and stands in the corpus under the query's id.
It answers nothing, but no document is more similar to the query. BEIR leaves it out of the query's candidates.

Source: N. Thakur et al., "BEIR: A heterogeneous benchmark for zero-shot evaluation of information retrieval models",
NeurIPS 2021; in its code `ignore_identical_ids`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crossforge.documents import Document
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.collections.readers.mix import original_query
from crossforge_train.collections.splits import normalized
from crossforge_train.config.collection import IgnoreIdenticalIds

# Numbers serve as ids of queries and of documents, so that some are the same by chance: the texts have to agree, too.
_TELLING = 0.5
_NEARLY_SAME = 0.9
_COMPARED, _SEED = 1000, 42


@dataclass(frozen=True)
class OwnDocuments:
    """Queries with the id of a document, and what was decided about these documents.

    Attributes:
        asked: what the config asks for: auto, true or false.
        left_out: by split, how many queries have their own document left out of their candidates.
        same_id: queries with the id of a document that is not judged relevant to them.
        relevant: queries with the id of a document that is judged relevant to them; it stays a candidate.
        compared: how many of both were drawn to compare their texts with the document's.
        same_text: how many of these have the document's text or title, nearly or exactly.
    """

    asked: IgnoreIdenticalIds
    left_out: Mapping[str, int]
    same_id: int
    relevant: int
    compared: int
    same_text: int


def settle_own_documents(collection: Collection, asked: IgnoreIdenticalIds) -> tuple[Collection, OwnDocuments]:
    """Decide whether queries' own documents are left out, and put it down in `Collection.own_documents`.

    `auto` leaves them out if at least half of the queries that have the id of a document also have its text. A document
    that is judged relevant to its query is never left out.

    Args:
        collection: with all its splits and judgements in place.
        asked: what the config says.
    """
    own: dict[str, dict[str, str]] = {}
    same: dict[str, str] = {}
    for split, qrels in collection.splits.items():
        named = {key: original_query(key, collection.queries) for key in qrels}
        named = {key: doc_id for key, doc_id in named.items() if doc_id in collection.corpus}
        own[split] = {key: doc_id for key, doc_id in named.items() if qrels[key].get(doc_id, 0) <= 0}
        same |= named
    everywhere = {key: doc_id for found in own.values() for key, doc_id in found.items()}
    drawn = seeded_draw(list(same), _COMPARED, _SEED)
    same_text = sum(_is_text_of(collection.queries[key], collection.corpus[same[key]]) for key in drawn)
    ignored = same_text > 0 and same_text >= _TELLING * len(drawn) if asked == "auto" else asked
    counts = OwnDocuments(
        asked=asked,
        left_out={split: len(found) for split, found in own.items() if found} if ignored else {},
        same_id=len(everywhere),
        relevant=len(same) - len(everywhere),
        compared=len(drawn),
        same_text=same_text,
    )
    return replace(collection, own_documents=everywhere if ignored else {}), counts


def in_words(found: OwnDocuments) -> str:
    """The decision in one sentence; empty if no query has the id of a document that is not relevant to it."""
    if not found.same_id:
        return ""
    every = found.same_id + found.relevant
    compared = "" if found.compared == every else f" of the {found.compared:,} compared"
    stays = f" ({found.relevant:,} of them that of a relevant one, which stays)" if found.relevant else ""
    queries = (
        f"{every:,} queries have the id of a document{stays}, and {found.same_text:,}{compared} its text "
        f"(collection.ignore_identical_ids: {str(found.asked).lower()})"
    )
    left_out = ", ".join(f"{split} {count:,}" for split, count in found.left_out.items())
    return f"{queries}: " + (f"left out of their candidates ({left_out})" if left_out else "it stays a candidate")


def _is_text_of(query: str, document: Document) -> bool:
    """Whether a query is, but for case, punctuation and small edits, a document's text, its title or both."""
    from rapidfuzz.distance import Indel

    text = normalized(query)
    return any(
        Indel.normalized_similarity(text, other, score_cutoff=_NEARLY_SAME) >= _NEARLY_SAME
        for other in map(normalized, (document.text, document.title, document.full_text))
        if other
    )

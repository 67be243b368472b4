"""What was mined, in numbers, and the negatives that a person should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.files import write_tsv
from crossforge.retrievers.base import Retriever
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import original_query
from crossforge_train.mining.groups import Group
from crossforge_train.mining.negatives import WITHOUT_CANDIDATE

SUSPECTS_FILE = "suspects.tsv"
# Columns of every table of documents that a person may judge.
JUDGING_COLUMNS = ("query_id", "doc_id", "query", "title", "text")
_RANK_BANDS = ((1, 10), (11, 20), (21, 50), (51, 100), (101, 10_000))
_SUSPECTS = 500


def mining_report(groups: Sequence[Group], counts: Mapping[str, int], analyzer: str) -> dict[str, Any]:
    """Groups, what became of the candidates, and from which ranks of the first stage the negatives come."""
    queries = len({group.query_id for group in groups})
    seen = sum(count for name, count in counts.items() if name.startswith(("negatives: ", "dropped: ")))
    return {
        "analyzer": analyzer,
        "groups": len(groups),
        "queries": queries,
        "candidates_seen": seen,
        "share_of_queries_without_a_candidate": counts.get(WITHOUT_CANDIDATE, 0) / max(1, queries),
        "counts": dict(counts),
        "ranks": rank_histogram(groups),
    }


def rank_histogram(groups: Sequence[Group]) -> dict[str, int]:
    """How many negatives come from which ranks of the first stage."""
    ranks = [rank for group in groups for rank, label in zip(group.ranks, group.labels, strict=True) if label <= 0]
    bands: Counter[str] = Counter({_band(*band): 0 for band in _RANK_BANDS})
    bands["not retrieved"] = 0
    for rank in ranks:
        bands[next((_band(first, last) for first, last in _RANK_BANDS if first <= rank <= last), "not retrieved")] += 1
    return dict(bands)


def _band(first: int, last: int) -> str:
    return f"{first}–{last}" if last < _RANK_BANDS[-1][1] else f"{first} and below"


def write_suspects(path: Path, groups: Sequence[Group], collection: Collection, retriever: Retriever) -> int:
    """Write the negatives that are most likely relevant, with their texts; returns how many there are.

    With a teacher these are the ones that come nearest to their positive by its scores, or are above it; without one
    those whose text is most like the positive's by the first stage.
    """
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for group in groups:
        for doc_id, suspicion in _suspicions(group, collection, retriever):
            key, row = (original_query(group.query_id, collection.queries), doc_id), (suspicion, group.doc_ids[0])
            found[key] = max(found.get(key, row), row)
    order = sorted(found, key=lambda key: (-found[key][0], key))[:_SUSPECTS]
    rows = []
    for query_id, doc_id in order:
        document, (suspicion, positive) = collection.corpus[doc_id], found[query_id, doc_id]
        judged = (query_id, doc_id, collection.queries[query_id], document.title, document.text)
        rows.append((*judged, positive, f"{suspicion:.4f}"))
    write_tsv(path, (*JUDGING_COLUMNS, "positive_id", "suspicion"), rows)
    return len(order)


def _suspicions(group: Group, collection: Collection, retriever: Retriever) -> list[tuple[str, float]]:
    """Each negative that nobody judged, with how much it looks like a positive."""
    places = [
        place
        for place, (label, source) in enumerate(zip(group.labels, group.sources, strict=True))
        if label <= 0 and source not in ("judged", "random")
    ]
    if not places:
        return []
    if group.teacher:
        return [(group.doc_ids[place], group.teacher[place] - group.teacher[0]) for place in places]
    texts = [collection.corpus[group.doc_ids[place]].full_text for place in places]
    alike = retriever.similarities(collection.corpus[group.doc_ids[0]].full_text, texts)
    return [(group.doc_ids[place], float(score)) for place, score in zip(places, alike, strict=True)]

"""The mining report, and the suspicious negatives that a person should check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, write_json, write_tsv
from crossforge.retrievers.base import Retriever
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import original_query
from crossforge_train.judging import JUDGING_COLUMNS
from crossforge_train.mining.counts import ABOVE_MARGIN, COPY, KNOWN_POSITIVE, MiningCounts
from crossforge_train.mining.groups import Group
from crossforge_train.mining.negatives import JUDGED

_RANK_BANDS = ((1, 10), (11, 20), (21, 50), (51, 100), (101, None))
_COUNTS_IN_0_1 = {
    "groups": "groups",
    "queries_without_candidate": "queries without a candidate",
    "filled_up": "groups filled up with random negatives",
    "too_few": "groups with too few negatives: the corpus is too small",
    "unreadable": "groups left out: query too long for the teacher",
    "relabelled": "relabelled: above the teacher's margin",
}
_DROPPED_IN_0_1 = {
    KNOWN_POSITIVE: "dropped: known positive",
    COPY: "dropped: copy of a positive",
    ABOVE_MARGIN: "dropped: above the teacher's margin",
}
_SUSPECTS = 500


@dataclass(frozen=True)
class RankBand:
    """Number of negatives from a range of first-stage ranks.

    Attributes:
        first: first rank.
        last: last rank; None if the band is open-ended.
        negatives: number of negatives from these ranks.
    """

    first: int
    last: int | None
    negatives: int


@dataclass(frozen=True)
class MiningReport:
    """Statistics of mining.

    Attributes:
        analyzer: how the first stage turns texts into terms.
        groups: number of groups.
        queries: number of queries with groups.
        counts: what became of the candidates.
        ranks: number of negatives by first-stage rank.
        not_retrieved: number of negatives that the first stage did not retrieve.
        suspects: number of negatives that may be relevant, written for `crossforge judge`.
    """

    analyzer: str
    groups: int
    queries: int
    counts: MiningCounts
    ranks: Sequence[RankBand]
    not_retrieved: int
    suspects: int

    @property
    def share_without_candidate(self) -> float:
        """Share of the queries for which the first stage found nothing."""
        return self.counts.queries_without_candidate / max(1, self.queries)


def mining_report(groups: Sequence[Group], counts: MiningCounts, analyzer: str, suspects: int) -> MiningReport:
    """Make the report: counts, and the first-stage ranks from which the negatives come."""
    ranks = [rank for group in groups for rank, label in zip(group.ranks, group.labels, strict=True) if label <= 0]
    bands = [
        RankBand(first, last, sum(first <= rank and (last is None or rank <= last) for rank in ranks))
        for first, last in _RANK_BANDS
    ]
    queries = len({group.query_id for group in groups})
    return MiningReport(analyzer, len(groups), queries, counts, bands, ranks.count(0), suspects)


def write_mining_report(path: Path, report: MiningReport) -> None:
    """Write a report as JSON."""
    write_json(path, asdict(report))


def read_mining_report(path: Path) -> MiningReport:
    """Read a file written by `write_mining_report` of this version or an earlier one.

    Raises:
        InputError: the file is missing or not a mining report.
    """
    found = read_json(path)
    try:
        if isinstance(found["ranks"], dict):
            return _of_version_0_1(found)
        ranks = [RankBand(**band) for band in found["ranks"]]
        return MiningReport(**{**found, "counts": MiningCounts(**found["counts"]), "ranks": ranks})
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: not a mining report; delete {path.parent} and mine again") from None


def _of_version_0_1(found: Mapping[str, Any]) -> MiningReport:
    """Read version 0.1, which used sentences as names, such as "dropped: known positive"."""
    counts, ranks = found["counts"], list(found["ranks"].values())
    dropped = {name: counts.get(sentence, 0) for name, sentence in _DROPPED_IN_0_1.items()}
    named = {name: counts.get(sentence, 0) for name, sentence in _COUNTS_IN_0_1.items()}
    negatives = {name[11:]: count for name, count in counts.items() if name.startswith("negatives: ")}
    return MiningReport(
        found["analyzer"],
        found["groups"],
        found["queries"],
        MiningCounts(negatives=negatives, dropped=dropped, **named),
        [RankBand(first, last, count) for (first, last), count in zip(_RANK_BANDS, ranks[:-1], strict=True)],
        ranks[-1],
        found["suspects"],
    )


def write_suspects(path: Path, groups: Sequence[Group], collection: Collection, retriever: Retriever) -> int:
    """Write the negatives that are most likely relevant, with their texts; returns their number.

    With a teacher, these are the negatives whose teacher score comes closest to the positive's or exceeds it; without
    one, those whose text is most similar to the positive's by the first stage.
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
    """Each negative of a group that no person judged and that is not random, with its similarity to the positive."""
    places = [
        place
        for place, (label, source) in enumerate(zip(group.labels, group.sources, strict=True))
        if label <= 0 and source not in (JUDGED, "random")
    ]
    if not places:
        return []
    if group.teacher:
        return [(group.doc_ids[place], group.teacher[place] - group.teacher[0]) for place in places]
    texts = [collection.corpus[group.doc_ids[place]].full_text for place in places]
    alike = retriever.similarities(collection.corpus[group.doc_ids[0]].full_text, texts)
    return [(group.doc_ids[place], float(score)) for place, score in zip(places, alike, strict=True)]

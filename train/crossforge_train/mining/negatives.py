"""Chooses hard negatives, and counts why other candidates were rejected."""

from __future__ import annotations

import random
from collections.abc import Collection as Ids
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

from crossforge.runs import Candidate, Run
from crossforge_train.collections.collection import JUDGED_BY, Collection, positives
from crossforge_train.collections.same_text import judged_by_text
from crossforge_train.config.mining import MiningConfig
from crossforge_train.mining.copies import CopyDetector
from crossforge_train.mining.counts import ABOVE_MARGIN, COPY, KNOWN_POSITIVE, MiningCounts, summed
from crossforge_train.mining.groups import Group

FIRST_STAGE = "first stage"
LESS_RELEVANT = "less relevant"
JUDGED = "judged"  # not relevant by people who were asked
GRADED = "graded"  # not relevant by a machine, or by clicks: a teacher may know better
OWN = "own"  # what the collection's source gives as negatives


@dataclass(frozen=True)
class Mined:
    """The mined groups, and counts of what became of the candidates."""

    groups: list[Group]
    counts: MiningCounts


class Source(NamedTuple):
    """Candidates from elsewhere than the first stage's list.

    Attributes:
        run: what it found.
        quota: how many negatives a group takes from it.
        ranked: whether the window of ranks applies to it.
    """

    run: Run
    quota: int
    ranked: bool = True


@dataclass(frozen=True)
class Candidates:
    """The candidates from which negatives are chosen.

    Attributes:
        first_stage: candidates from the first stage.
        others: name of another source -> what it found.
    """

    first_stage: Run
    others: Mapping[str, Source]


class Miner:
    """Mines the queries of one split independently of each other.

    Where a query has several grades, a group also holds less relevant documents, so that the grades can be learned.
    Negatives are taken in this order: documents labelled 0, candidates of other sources up to their quotas (the
    collection's own negatives are the first of them), candidates of the first stage, and random documents if there are
    too few. A known positive is never a negative, be it by id,
    as a copy of a positive's text, or through another query of the split with the same text. Nor is a query's own
    document.

    Args:
        collection: corpus, queries and judgements.
        split: the split to mine; only its judgements count.
        candidates: candidates for the split's queries.
        config: number of negatives and how to choose them.
        seed: seed of all draws; they do not depend on the order of input lines.
    """

    def __init__(
        self, collection: Collection, split: str, candidates: Candidates, config: MiningConfig, seed: int
    ) -> None:
        self._fields = collection.query_fields
        self._qrels = collection.qrels(split)
        self._own = collection.own_documents or {}
        self._judged = judged_by_text(collection, split)
        self._candidates = candidates
        self._config = config
        self._seed = seed
        self._copies = None if config.near_copy is None else CopyDetector(collection.corpus, config.near_copy)
        self._corpus_ids = sorted(collection.corpus)

    def mine(self, query_ids: Iterable[str]) -> Mined:
        """Mine several queries of the split, in the given order."""
        return joined(self.mine_query(query_id) for query_id in query_ids)

    def mine_query(self, query_id: str, doubtful: Ids[str] = ()) -> Mined:
        """Mine one group for each positive of a query.

        Args:
            query_id: id of the query.
            doubtful: documents that a teacher considers relevant to it; they become negatives only if people judged
                them 0.
        """
        counts = MiningCounts()
        known = self._judged[query_id]
        own = self._own.get(query_id)
        zeros = GRADED if JUDGED_BY in self._fields.get(query_id, {}) else JUDGED
        miner = _QueryMiner(
            query_id, self._corpus_ids, self._config, known, zeros, self._candidates, doubtful, self._copies, own
        )
        counts.queries_without_candidate += not self._candidates.first_stage.get(query_id)
        groups = []
        for positive in positives(self._qrels[query_id]):
            draw = random.Random(f"{self._seed}:{query_id}:{positive}")  # noqa: S311 - a seeded draw, not a secret
            groups.append(miner.group(positive, draw, counts))
        return Mined(groups, counts)


def own_negatives(collection: Collection, query_ids: Iterable[str], quota: int) -> dict[str, Source]:
    """What the collection's source gives as negatives of these queries, if it gives any."""
    given = {key: collection.own_negatives[key] for key in query_ids if key in collection.own_negatives}
    run = {key: [Candidate(doc_id, -float(place)) for place, doc_id in enumerate(found)]
           for key, found in given.items()}  # fmt: skip
    return {OWN: Source(run, quota, ranked=False)} if run else {}


def joined(parts: Iterable[Mined]) -> Mined:
    """Join the parts: all groups in order, and the summed counts."""
    found = list(parts)
    return Mined([group for part in found for group in part.groups], summed(part.counts for part in found))


class _QueryMiner:
    """Chooses negatives for one query."""

    def __init__(
        self,
        query_id: str,
        corpus_ids: Sequence[str],
        config: MiningConfig,
        judged: Mapping[str, int],
        zeros: str,
        candidates: Candidates,
        doubtful: Ids[str],
        copies: CopyDetector | None,
        own: str | None,
    ) -> None:
        self._query_id = query_id
        self._corpus_ids = corpus_ids
        self._config = config
        self._labels = judged
        self._zeros = zeros
        self._positives = positives(judged)
        self._first_stage = [candidate.doc_id for candidate in candidates.first_stage.get(query_id, [])]
        self._ranks = {doc_id: rank for rank, doc_id in enumerate(self._first_stage, start=1)}
        self._others = candidates.others
        self._doubtful = doubtful
        # Once for all of the query's groups: it takes as many comparisons as there are positives.
        self._is_copy = cache(partial(copies.is_copy, of=self._positives)) if copies else None
        self._own = own

    def group(self, positive: str, draw: random.Random, counts: MiningCounts) -> Group:
        """The group of one positive; updates `counts`."""
        config, chosen = self._config, {positive: "positive"}
        chosen.update(dict.fromkeys(self._less_relevant(positive, draw), LESS_RELEVANT))
        self._take(self._labelled_negatives(), config.hard, self._zeros, chosen, counts)
        for name, source in self._others.items():
            ranked = self._ordered(_ids(source.run.get(self._query_id, [])), draw, ranked=source.ranked)
            self._take(ranked, min(config.hard, len(chosen) - 1 + source.quota), name, chosen, counts)
        for band in config.bands:
            ranked = self._first_stage[band.first - 1 : band.last]
            draw.shuffle(ranked)
            self._take(ranked, min(config.hard, len(chosen) - 1 + band.negatives), FIRST_STAGE, chosen, counts)
        self._take(self._ordered(self._first_stage, draw), config.hard, FIRST_STAGE, chosen, counts)
        if len(chosen) - 1 < config.hard:
            counts.filled_up += 1
        self._take(self._random_documents(draw), config.negatives, "random", chosen, counts)
        counts.groups += 1
        counts.too_few += len(chosen) - 1 < config.negatives
        doc_ids = list(chosen)
        return Group(
            query_id=self._query_id,
            doc_ids=doc_ids,
            labels=[max(0, self._labels.get(doc_id, 0)) for doc_id in doc_ids],
            ranks=[self._ranks.get(doc_id, 0) for doc_id in doc_ids],
            sources=list(chosen.values()),
        )

    def _take(
        self, ranked: Iterable[str], wanted: int, source: str, chosen: dict[str, str], counts: MiningCounts
    ) -> None:
        """Choose from `ranked` until there are `wanted` negatives."""
        for doc_id in ranked:
            if len(chosen) - 1 >= wanted:
                return
            if doc_id in chosen or doc_id == self._own:
                continue
            if reason := self._reason_against(doc_id):
                counts.drop(reason)
            else:
                chosen[doc_id] = source
                counts.take(source)

    def _reason_against(self, doc_id: str) -> str | None:
        if self._labels.get(doc_id, 0) > 0:
            return KNOWN_POSITIVE
        if self._is_copy is not None and self._is_copy(doc_id):
            return COPY
        trusted = self._zeros == JUDGED and doc_id in self._labels
        return ABOVE_MARGIN if doc_id in self._doubtful and not trusted else None

    def _less_relevant(self, positive: str, draw: random.Random) -> list[str]:
        """Some relevant documents of a lower grade than the positive; they take the places of hard negatives."""
        lower = [doc_id for doc_id in self._positives if self._labels[doc_id] < self._labels[positive]]
        drawn = draw.sample(lower, min(len(lower), self._config.hard // 2)) if lower else []
        return sorted(drawn, key=lambda doc_id: -self._labels[doc_id])

    def _labelled_negatives(self) -> list[str]:
        labelled = [doc_id for doc_id, relevance in self._labels.items() if relevance <= 0]
        return sorted(labelled, key=lambda doc_id: (self._ranks.get(doc_id, len(self._ranks) + 1), doc_id))

    def _ordered(self, found: Sequence[str], draw: random.Random, *, ranked: bool = True) -> list[str]:
        """The candidates within the window, if there is one, in the order in which to try them."""
        window = list(found[self._config.skip_top : self._config.window] if ranked else found)
        if self._config.choice != "top":
            draw.shuffle(window)
        return window

    def _random_documents(self, draw: random.Random) -> Iterator[str]:
        """Every document of the corpus once, in random order; cheap if only a few are taken."""
        seen: set[int] = set()
        while len(seen) < len(self._corpus_ids):
            position = draw.randrange(len(self._corpus_ids))
            if position not in seen:
                seen.add(position)
                yield self._corpus_ids[position]


def _ids(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.doc_id for candidate in candidates]

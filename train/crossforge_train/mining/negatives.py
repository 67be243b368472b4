"""Chooses hard negatives, and says for each candidate that was passed over why."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from crossforge.runs import Candidate, Run
from crossforge_train.collections.collection import Collection, Qrels, positives
from crossforge_train.collections.splits import normalized
from crossforge_train.config import MiningConfig
from crossforge_train.mining.copies import CopyDetector
from crossforge_train.mining.groups import Group


@dataclass(frozen=True)
class Mined:
    """Groups, and counts of what happened to the candidates."""

    groups: list[Group]
    counts: Mapping[str, int]


def mine_groups(
    collection: Collection, split: str, query_ids: Sequence[str], run: Run, config: MiningConfig, seed: int
) -> Mined:
    """One group for each positive of each query.

    Negatives are documents that are judged 0 first, then candidates of the first stage, then random documents where
    there are too few. A known positive is never a negative: not by id, not as a copy of a positive's text, and not
    through another query of the split with the same text.

    Args:
        collection: corpus, queries and judgements.
        split: the split that is mined; its judgements count, those of other splits do not.
        query_ids: the queries to mine, all of that split.
        run: first-stage candidates of the queries.
        config: how many, and how chosen.
        seed: decides every draw; the order of input lines does not.
    """
    qrels = collection.qrels(split)
    judged = _judged_by_text(collection, qrels)
    copies = CopyDetector(collection.corpus, config.near_copy)
    corpus_ids = sorted(collection.corpus)
    counts: Counter[str] = Counter()
    groups: list[Group] = []
    for query_id in query_ids:
        known = judged[normalized(collection.queries[query_id])]
        miner = _QueryMiner(corpus_ids, config, known, run.get(query_id, []), copies)
        for positive in positives(qrels[query_id]):
            draw = random.Random(f"{seed}:{query_id}:{positive}")  # noqa: S311 - a seeded draw, not a secret
            groups.append(replace(miner.group(positive, draw, counts), query_id=query_id))
    return Mined(groups, dict(sorted(counts.items())))


def drawn_queries(query_ids: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """At most `limit` of the queries, by a seeded draw, in their given order."""
    if limit is None or limit >= len(query_ids):
        return list(query_ids)
    drawn = set(random.Random(seed).sample(sorted(query_ids), limit))  # noqa: S311 - a seeded draw, not a secret
    return [query_id for query_id in query_ids if query_id in drawn]


def _judged_by_text(collection: Collection, qrels: Qrels) -> dict[str, dict[str, int]]:
    """Judgements of all queries that say the same; the higher one counts where two differ."""
    judged: dict[str, dict[str, int]] = {}
    for query_id, judgements in qrels.items():
        merged = judged.setdefault(normalized(collection.queries[query_id]), {})
        for doc_id, relevance in judgements.items():
            merged[doc_id] = max(relevance, merged.get(doc_id, 0))
    return judged


class _QueryMiner:
    """Chooses negatives for one query."""

    def __init__(
        self,
        corpus_ids: Sequence[str],
        config: MiningConfig,
        judged: Mapping[str, int],
        candidates: Sequence[Candidate],
        copies: CopyDetector,
    ) -> None:
        self._corpus_ids = corpus_ids
        self._config = config
        self._labels = judged
        self._positives = positives(judged)
        self._ranks = {candidate.doc_id: rank for rank, candidate in enumerate(candidates, start=1)}
        self._copies = copies

    def group(self, positive: str, draw: random.Random, counts: Counter[str]) -> Group:
        """The group of one positive; `counts` takes up what was dropped and what was filled up."""
        chosen: list[str] = []
        hard = self._config.negatives - self._config.random_negatives
        self._take(self._judged_negatives(), hard, chosen, "judged", counts)
        self._take(self._hard_candidates(draw), hard, chosen, "first stage", counts)
        if len(chosen) < hard:
            counts["groups filled up with random negatives"] += 1
        self._take(self._random_documents(draw), self._config.negatives, chosen, "random", counts)
        doc_ids = [positive, *chosen]
        counts["groups"] += 1
        return Group(
            query_id="",
            doc_ids=doc_ids,
            labels=[self._labels[positive], *(0 for _ in chosen)],
            ranks=[self._ranks.get(doc_id, 0) for doc_id in doc_ids],
        )

    def _take(self, source: Iterable[str], wanted: int, chosen: list[str], name: str, counts: Counter[str]) -> None:
        for doc_id in source:
            if len(chosen) >= wanted:
                return
            if doc_id in chosen:
                continue
            if self._labels.get(doc_id, 0) > 0:
                counts["dropped: known positive"] += 1
            elif self._copies.is_copy(doc_id, self._positives):
                counts["dropped: copy of a positive"] += 1
            else:
                chosen.append(doc_id)
                counts[f"negatives: {name}"] += 1

    def _judged_negatives(self) -> list[str]:
        judged = [doc_id for doc_id, relevance in self._labels.items() if relevance <= 0]
        return sorted(judged, key=lambda doc_id: (self._ranks.get(doc_id, len(self._ranks) + 1), doc_id))

    def _hard_candidates(self, draw: random.Random) -> list[str]:
        window = [doc_id for doc_id, rank in self._ranks.items() if self._config.skip_top < rank <= self._config.window]
        if self._config.choice == "sample":
            draw.shuffle(window)
        return window

    def _random_documents(self, draw: random.Random) -> Iterator[str]:
        """Every document of the corpus once, in random order; cheap where only a few are taken."""
        seen: set[int] = set()
        while len(seen) < len(self._corpus_ids):
            position = draw.randrange(len(self._corpus_ids))
            if position not in seen:
                seen.add(position)
                yield self._corpus_ids[position]

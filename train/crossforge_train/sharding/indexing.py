"""Indexes a corpus by shards: one pass over texts counts terms, their sums make the weights, another weighs the counts.

Weights are those of the whole corpus, and a document's are the same bit by bit as if one process had indexed it: terms
stand in the same order, and lengths are added up exactly. The calling process holds the vocabulary, and the terms of a
few shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.files import read_json, remove, write_json
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.counting import count_corpus
from crossforge.retrievers.weighting import Statistics, Weighting, Weights, fit_weights, read_weights
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.compute.base import Engine
from crossforge_train.sharding.shards import Shard, map_matrix, save_matrix, save_postings

_COUNTS, _TERMS_FILE = "counts", "terms.json"


class Counted(NamedTuple):
    """The terms of a shard in sorted order, and its statistics under them."""

    terms: list[str]
    statistics: Statistics


@dataclass(frozen=True)
class CountTerms:
    """Makes a worker that counts the terms of a shard, and keeps terms and counts in its folder.

    Attributes:
        corpus: folder of the documents in Arrow.
        folder: of all shards.
        analyzer: how texts become terms.
        title_weight: how often a word of a title counts.
    """

    corpus: Path
    folder: Path
    analyzer: Analyzer
    title_weight: float

    def __call__(self) -> Callable[[Shard], Counted]:
        """The worker."""
        documents = ArrowCorpus.load(self.corpus)

        def work(shard: Shard) -> Counted:
            part = documents.part(shard.start, shard.stop).values()
            terms, counts = count_corpus(part, self.analyzer, self.title_weight, processes=1)
            save_matrix(shard.folder(self.folder) / _COUNTS, counts)
            write_json(shard.folder(self.folder) / _TERMS_FILE, terms)
            return Counted(terms, Statistics.of(counts))

        return work


class ToWeigh(NamedTuple):
    """A shard, the columns of its terms in the whole vocabulary, and the weights of these."""

    shard: Shard
    columns: NDArray[np.int64]
    settings: Mapping[str, Any]
    idf: NDArray[np.float32]


@dataclass(frozen=True)
class WeighCounts:
    """Makes a worker that turns a shard's counts into the postings in its folder."""

    folder: Path

    def __call__(self) -> Callable[[ToWeigh], Shard]:
        """The worker."""
        return self._work

    def _work(self, wanted: ToWeigh) -> Shard:
        shard = wanted.shard
        counts = map_matrix(shard.folder(self.folder) / _COUNTS, (shard.size, len(wanted.columns)))
        weights = read_weights(wanted.settings, wanted.idf).of_documents(counts)
        save_postings(shard, self.folder, wanted.columns, weights.tocsc().T)
        return shard


def index_shards(
    engine: Engine, shards: Sequence[Shard], count: CountTerms, weighting: Weighting
) -> tuple[list[str], Weights]:
    """Write the postings of all shards.

    Args:
        engine: where it is done.
        shards: all of the corpus.
        count: counts the terms of one.
        weighting: how counts become weights.

    Returns:
        The terms of the corpus in sorted order, and their weights.
    """
    terms, statistics = _added_up(engine.map(count, shards))
    weights = fit_weights(weighting, statistics)
    for shard in engine.map(WeighCounts(count.folder), _to_weigh(shards, count.folder, terms, weights)):
        remove(shard.folder(count.folder) / _COUNTS)
        remove(shard.folder(count.folder) / _TERMS_FILE)
    return terms, weights


def _added_up(counted: Iterable[Counted]) -> tuple[list[str], Statistics]:
    frequency: dict[str, int] = {}
    documents, length = 0, Fraction()
    for terms, found in counted:
        for term, holders in zip(terms, found.frequency.tolist(), strict=True):
            frequency[term] = frequency.get(term, 0) + holders
        documents += found.documents
        length += found.length
    terms = sorted(frequency)
    in_order = np.fromiter((frequency[term] for term in terms), np.int64, len(terms))
    return terms, Statistics(documents, in_order, length)


def _to_weigh(shards: Sequence[Shard], folder: Path, terms: Sequence[str], weights: Weights) -> Iterator[ToWeigh]:
    column = {term: number for number, term in enumerate(terms)}
    for shard in shards:
        own = read_json(shard.folder(folder) / _TERMS_FILE)
        columns = np.fromiter((column[term] for term in own), np.int64, len(own))
        yield ToWeigh(shard, columns, weights.settings(), weights.idf[columns])

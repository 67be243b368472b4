"""Indexes a corpus by shards: one pass over texts counts terms, their sums make the weights, another weighs the counts.

Weights are those of the whole corpus, and a document's are the same bit by bit as if one process had indexed it: terms
stand in the same order, and lengths are added up exactly. The calling process holds the vocabulary, whatever the number
of shards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from crossforge.files import remove
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.counting import count_corpus
from crossforge.retrievers.weighting import Statistics, Weighting, Weights, fit_weights, read_weights
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.compute.base import Engine
from crossforge_train.sharding.shards import Shard, map_matrix, save_matrix, save_postings
from crossforge_train.sharding.terms import (
    Vocabulary,
    frequencies,
    save_terms,
    save_vocabulary,
    terms_file,
    vocabulary_file,
)

_COUNTS = "counts"


@dataclass(frozen=True)
class CountTerms:
    """Makes a worker that counts the terms of a shard, and keeps terms and counts in its folder.

    Attributes:
        corpus: folder of the documents in Arrow.
        folder: of all shards.
        analyzer: how texts become terms.
        title_weight: how often a word of a title counts.
        parts: into how many the terms are split, for `frequencies`.
    """

    corpus: Path
    folder: Path
    analyzer: Analyzer
    title_weight: float
    parts: int

    def __call__(self) -> Callable[[Shard], Fraction]:
        """The worker; it says how many terms the documents hold together."""
        documents = ArrowCorpus.load(self.corpus)

        def work(shard: Shard) -> Fraction:
            part = documents.part(shard.start, shard.stop).values()
            terms, counts = count_corpus(part, self.analyzer, self.title_weight, processes=1)
            found = Statistics.of(counts)
            save_matrix(shard.folder(self.folder) / _COUNTS, counts)
            save_terms(terms_file(shard, self.folder), terms, found.frequency, self.parts)
            return found.length

        return work


@dataclass(frozen=True)
class WeighCounts:
    """Makes a worker that turns a shard's counts into the postings in its folder.

    Attributes:
        folder: of all shards, and of the vocabulary.
        settings: of the weights.
    """

    folder: Path
    settings: Mapping[str, Any]

    def __call__(self) -> Callable[[Shard], Shard]:
        """The worker."""
        vocabulary = Vocabulary(self.folder)

        def work(shard: Shard) -> Shard:
            columns = vocabulary.columns(terms_file(shard, self.folder))
            counts = map_matrix(shard.folder(self.folder) / _COUNTS, (shard.size, len(columns)))
            weights = read_weights(self.settings, vocabulary.idf(columns)).of_documents(counts)
            save_postings(shard, self.folder, columns, weights.tocsc().T)
            return shard

        return work


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
    folder = count.folder
    length = sum(engine.map(count, shards), Fraction())
    terms, frequency = frequencies(engine, shards, folder, count.parts)
    weights = fit_weights(weighting, Statistics(shards[-1].stop, frequency, length))
    save_vocabulary(folder, terms, weights.idf)
    for shard in engine.map(WeighCounts(folder, weights.settings()), shards):
        remove(shard.folder(folder) / _COUNTS)
        remove(terms_file(shard, folder))
    remove(vocabulary_file(folder))
    return terms, weights

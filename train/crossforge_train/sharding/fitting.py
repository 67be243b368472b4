"""Fits the index of terms by shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.retrievers.analysis import choose_analyzer
from crossforge.retrievers.lexical import read_settings
from crossforge.retrievers.tfidf import NO_WORD, TfidfRetriever
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.compute.base import Engine
from crossforge_train.sharding.indexing import CountTerms, index_shards
from crossforge_train.sharding.joining import join_postings
from crossforge_train.sharding.searching import ShardedSearch
from crossforge_train.sharding.shards import cut

# Documents that a shard holds at most, if the number of shards is not given.
_MOST = 1_000_000


def fit_by_shards(
    corpus: Path, settings: Mapping[str, Any], engine: Engine, folder: Path, shards: int | None = None
) -> TfidfRetriever:
    """Index the documents of a folder as `LexicalKind.fit` does; what is found and saved is the same, bit by bit.

    Args:
        corpus: folder of the documents in Arrow, which every worker sees.
        settings: of the kind `lexical`.
        engine: where it is done; it has to be open as long as the index is searched.
        folder: for the files of the shards, which every worker sees; needed as long as the index.
        shards: how many; None takes one a worker, or as many as it needs for a million documents each.

    Raises:
        InputError: a setting is wrong, or no document holds a word.
    """
    documents = ArrowCorpus.load(corpus)
    analyzer, options = read_settings(settings)
    title_weight = options.get("title_weight", 1)
    analyzer = analyzer or choose_analyzer(document.full_text for document in documents.values())
    folder = folder.absolute()
    parts = cut(len(documents), shards or max(engine.workers, -(-len(documents) // _MOST)))
    count = CountTerms(corpus.absolute(), folder, analyzer, title_weight)
    terms, weights = index_shards(engine, parts, count, options.get("weighting", "tfidf"))
    if not terms:
        raise InputError(NO_WORD)
    postings = join_postings(parts, folder, len(terms), folder / "all")
    search = ShardedSearch(engine, parts, folder)
    return TfidfRetriever(list(documents), analyzer, terms, weights, postings, title_weight, search)

"""Fits the index of terms by shards, and lets vectors be searched by them."""

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
from crossforge_train.sharding.opening import VECTORS, open_postings, open_vectors
from crossforge_train.sharding.searching import ShardedSearch
from crossforge_train.sharding.shards import Shard, cut

# Documents that a shard holds at most, if the number of shards is not given.
_MOST = 1_000_000
# Into how many parts the terms of a shard are split at most: whoever adds up a part opens the file of every shard.
_MOST_PARTS = 64
# Queries that go to a shard at a time: of vectors many, since each block turns the shard's into float32 once.
_TERM_QUERIES, _VECTOR_QUERIES = 512, 4096


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
    parts = _parts(len(documents), engine, shards)
    count = CountTerms(corpus.absolute(), folder, analyzer, title_weight, min(engine.workers, _MOST_PARTS))
    terms, weights = index_shards(engine, parts, count, options.get("weighting", "tfidf"))
    if not terms:
        raise InputError(NO_WORD)
    postings = join_postings(parts, folder, len(terms), folder / "all")
    search = ShardedSearch(engine, parts, folder, open_postings, _TERM_QUERIES)
    return TfidfRetriever(list(documents), analyzer, terms, weights, postings, title_weight, search)


def vectors_by_shards(documents: int, engine: Engine, folder: Path, shards: int | None = None) -> dict[str, Any]:
    """Settings of the kind `dense` with which vectors stay on disk and shards of them are searched.

    What is found is the same, up to the rounding of a cosine's sixth decimal.

    Args:
        documents: how many there are.
        engine: as for `fit_by_shards`.
        folder: for the file of the vectors, as for `fit_by_shards`.
        shards: as for `fit_by_shards`.
    """
    folder = folder.absolute()
    search = ShardedSearch(engine, _parts(documents, engine, shards), folder, open_vectors, _VECTOR_QUERIES)
    return {"file": folder / f"{VECTORS}.npy", "find_nearest": search}


def _parts(documents: int, engine: Engine, shards: int | None) -> list[Shard]:
    return cut(documents, shards or max(engine.workers, -(-documents // _MOST)))

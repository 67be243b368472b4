"""The benches of a run: its splits, with the candidates that the first stage found."""

from __future__ import annotations

from dataclasses import replace

from crossforge.retrievers.base import Retriever
from crossforge_train.collections.collection import Collection
from crossforge_train.evaluation.combination import MOST_QUERIES
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.stages.stage import Context


def dev_bench(
    context: Context,
    collection: Collection,
    retriever: Retriever,
    depth: int,
    passages: int | None = None,
    limit: int | None = None,
) -> Bench:
    """The bench for making choices; see `split_bench`."""
    return split_bench(context, collection, retriever, context.config.collection.dev_split, depth, passages, limit)


def with_more_queries(context: Context, drawn: Bench) -> Bench:
    """A bench of a draw of a split's queries with all of them, or 2000, for choices that rerank nothing."""
    whole = split_bench(context, drawn.collection, drawn.retriever, drawn.split, drawn.depth, None, MOST_QUERIES)
    if len(whole.queries) <= len(drawn.queries):
        return drawn
    return replace(drawn, queries=whole.queries, qrels=whole.qrels, run=whole.run)


def split_bench(
    context: Context,
    collection: Collection,
    retriever: Retriever,
    split: str,
    depth: int,
    passages: int | None,
    limit: int | None,
    deep_queries: int | None = None,
) -> Bench:
    """The bench of a split.

    Args:
        context: of the stage.
        collection: of the run.
        retriever: the first stage.
        split: name of the split.
        depth: how many candidates are reranked.
        passages: how many passages of a long document are read; None: as the config says.
        limit: most queries to measure; None: all.
        deep_queries: queries for the deeper part of the curve; None: as the config says.
    """
    config, run = context.config, context.run.mined.run(split)
    changes = {"passages": passages, "deep_queries": deep_queries}
    settings = config.evaluation.model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    return set_up_bench(collection, split, run, retriever, depth, settings, config.seed, context.reporter, limit)

"""What a run's reranker is measured beside: the free alternatives, the base model as it is, and the incumbent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from crossforge.loading import holds_reranker
from crossforge.reranker import Reranker
from crossforge.retrievers.base import StoredRetriever
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.encoders.embeddings import embeddings_if_exported
from crossforge_train.evaluation.free_alternatives import Free
from crossforge_train.evaluation.free_retrievers import free_retrievers
from crossforge_train.evaluation.systems import (
    BASE_MODEL,
    BM25,
    INCUMBENT,
    Bench,
    System,
    open_base,
    opened,
    opened_system,
    reranker_system,
)
from crossforge_train.models.base_model import find_base_model
from crossforge_train.stages.choosing import training_queries_that_choose
from crossforge_train.stages.encoder_length import with_encoder_length
from crossforge_train.stages.stage import Context


def free_of_run(
    context: Context, collection: Collection, retriever: StoredRetriever, dev: Bench, measured: Sequence[Bench]
) -> Free:
    """The free alternatives of this run.

    Args:
        context: of the stage.
        collection: of the run.
        retriever: the first stage.
        dev: chooses the hybrid's weight.
        measured: the benches that the alternatives are measured on.
    """
    config = with_encoder_length(context.config, context.run.mined)
    runs = [bench.of_rivals.candidates for bench in measured]
    embeddings = embeddings_if_exported(lambda: base_embeddings(config, context.reporter), context.reporter)
    bm25 = config.evaluation.bm25 and retriever.name != BM25  # the first stage may be BM25 itself
    tuned = context.run.mined.choice.tuned
    more = training_queries_that_choose(config, collection)
    return free_retrievers(retriever, collection, runs, embeddings, bm25=bm25, dev=dev, more=more, tuned=tuned)


def open_base_model(config: Config) -> dict[str, Reranker | Path]:
    """The base model by its name in tables, if it is a reranker, which needs no training either."""
    base_model = find_base_model(config.base_model)
    return {BASE_MODEL: open_base(base_model, config.training)} if holds_reranker(base_model) else {}


def open_rivals(config: Config) -> dict[str, Reranker | Path]:
    """The alternatives, loaded once for all splits: the base model, if it is a reranker, and the incumbent, if any."""
    incumbent = config.evaluation.incumbent
    return {**open_base_model(config), **({INCUMBENT: opened(incumbent)} if incumbent else {})}


def untrained(rivals: Mapping[str, Reranker | Path]) -> dict[str, Reranker | Path]:
    """Those of them that need no training: the base model as it is."""
    return {name: found for name, found in rivals.items() if name == BASE_MODEL}


def measured_rivals(bench: Bench, rivals: Mapping[str, Reranker | Path]) -> list[System]:
    """The rivals as they would ship, but the base model always without fusion, whatever its package says."""
    on = bench.of_rivals
    return [
        reranker_system(on, name, found, 0.0)
        if name == BASE_MODEL and isinstance(found, Reranker)
        else opened_system(on, name, found)
        for name, found in rivals.items()
    ]

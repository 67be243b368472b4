"""The first stage of a run, with all that its own queries choose for it."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from crossforge.retrievers.approximate import MISSING, available
from crossforge.retrievers.base import ApproximableRetriever, CombinedRetriever, Retriever, StoredRetriever
from crossforge.retrievers.registry import LEXICAL
from crossforge.retrievers.vectors import HELD
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.config.first_stage import AUTO
from crossforge_train.config.run import Config
from crossforge_train.evaluation.approximation import approximated_on_dev
from crossforge_train.evaluation.combination import combined_on_dev
from crossforge_train.evaluation.moving import moved_on_dev
from crossforge_train.first_stage import (
    choose_kind,
    fit_first_stage,
    vector_part,
    with_query_map,
    with_vector_part,
)
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.choosing import training_queries_that_choose
from crossforge_train.stages.embedding import run_embeddings
from crossforge_train.stages.shards import index_by_shards, search_by_shards
from crossforge_train.stages.stage import Context
from crossforge_train.stages.tuned_encoder import tuned_on_dev

# Dev queries that recall is measured on.
_DEV_QUERIES = 500


def base_query_map(config: Config, retriever: Retriever) -> NDArray[np.float32] | None:
    """The map that moves the base model's query vectors in a first stage; None if there is none."""
    part = vector_part(retriever)
    return part.query_map if part and not config.other_encoder else None


def as_served(context: Context, collection: Collection, retriever: StoredRetriever) -> StoredRetriever:
    """The first stage as apps search with it: approximately, if its vectors are many or the config says so.

    What it finds of an exact search on dev is written down and told.
    """
    config, wanted = context.config, context.config.first_stage.approximate
    part = vector_part(retriever)
    many = part is not None and part.vectors.size > HELD
    if not isinstance(part, ApproximableRetriever) or not (many if wanted == AUTO else wanted):
        return retriever
    if not available():
        context.reporter.note(f"first_stage.approximate: {MISSING}")
        return retriever
    dev = collection.split_queries(config.collection.dev_split)
    drawn = seeded_draw(list(dev), _DEV_QUERIES, config.seed)
    with context.reporter.bar("sorting vectors into lists", 1) as advance:
        found = approximated_on_dev(part, {query_id: dev[query_id] for query_id in drawn}, config.first_stage.depth)
        advance()
    approximation = found.approximation
    if approximation is None:
        return retriever
    written = MinedFolder(context.folder)
    written.save_choice(replace(written.choice, approximation=asdict(approximation)))
    context.reporter.note(
        f"first stage: vectors are {approximation.description} on {len(drawn)} dev queries; "
        "first_stage.approximate: false searches all"
    )
    return with_vector_part(retriever, found)


def first_stage_of_run(context: Context, collection: Collection) -> StoredRetriever:
    """The first stage over the run's corpus; what is chosen for it is written down and told."""
    config, settings, documents = context.config, context.config.first_stage, collection.corpus.values()
    embeddings = run_embeddings(config, context.reporter, context.engine) if settings.embeds else None
    choice = replace(choose_kind(documents, settings, embeddings), encoder_tokens=settings.encoder_tokens)
    if choice.why:
        context.reporter.note(f"first stage: {choice.kind}; {choice.why}")
    if embeddings and settings.tune_encoder and choice.kind != LEXICAL:
        tuned = tuned_on_dev(context, collection, embeddings)
        embeddings, choice = tuned or embeddings, replace(choice, tuned=tuned is not None)
    retriever = fit_first_stage(
        documents,
        settings.of_kind(choice.kind),
        embeddings,
        make_index=index_by_shards(context),
        search_vectors=search_by_shards(context, len(documents)),
    )
    splits, metric, seed = config.collection, config.evaluation.metric, config.seed
    # A tuned encoder needs no map: it would be learned from the queries that the encoder has learned from already.
    part = vector_part(retriever) if settings.query_map and not choice.tuned else None
    if part:
        found = moved_on_dev(part, collection, splits.train, splits.dev_split, metric, seed)
        retriever, choice = with_query_map(retriever, found.query_map), replace(choice, moved=found.share)
    if isinstance(retriever, CombinedRetriever):
        more = {} if choice.tuned or choice.moved else training_queries_that_choose(config, collection)
        retriever = combined_on_dev(retriever, collection, splits.dev_split, more, settings.depth, metric, seed)
        choice = replace(choice, weight=retriever.weight)
    if choice.weight is not None or choice.moved or choice.tuned:
        context.reporter.note(f"first stage: {retriever.description}")
    MinedFolder(context.folder).save_choice(choice)
    return retriever

"""The base model tuned on the run's training queries, where dev gains from it."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.retrievers.base import StoredRetriever
from crossforge_train.collections.collection import (
    Collection,
    asked_by_people,
    judges,
    mostly_asked_by_people,
    mostly_judged_by_people,
    positives,
)
from crossforge_train.collections.same_text import spared_documents
from crossforge_train.compute.base import Engine
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_prompts
from crossforge_train.encoders.embeddings import SHARED_FOLDER, Embeddings, open_embeddings
from crossforge_train.encoders.tuning import RULES, TuningSet, tune_encoder, tuned_name
from crossforge_train.evaluation.combination import LEAST_QUERIES
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.evaluation.moving import CERTAIN, moved_on_dev, values_found
from crossforge_train.evaluation.resampling import resamples_won
from crossforge_train.first_stage import MOST_SECONDS, vector_part
from crossforge_train.models.base_model import find_base_model, is_saved_in_fp32, model_hash, parameter_count
from crossforge_train.reporting import Reporter
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.embedding import sharing
from crossforge_train.stages.encoder_length import with_encoder_length
from crossforge_train.stages.links import link_tree
from crossforge_train.stages.shards import search_by_shards
from crossforge_train.stages.stage import Context

# Fewer queries teach less than a query map does, and seldom convince dev.
_LEAST_TRAINING_QUERIES = 200
_MOST_PARAMETERS = 150e6  # of a larger model, a batch takes too much memory


def with_tuned_encoder(config: Config, mined: MinedFolder) -> Config:
    """The config as the first stage has the encoder: its length, and the tuned one as base model, if that is used.

    Args:
        config: of the run.
        mined: output of the stage `mine`.
    """
    config = with_encoder_length(config, mined)
    if not mined.tuned_encoder.is_dir():
        return config
    first_stage = config.first_stage.model_copy(update={"encoder": None})
    return config.model_copy(update={"base_model": str(mined.tuned_encoder), "first_stage": first_stage})


def tuned_embeddings(config: Config, mined: MinedFolder, reporter: Reporter) -> Embeddings | None:
    """Embeddings of the tuned encoder; None if the first stage uses none."""
    tuned = mined.tuned_encoder
    return _open(with_encoder_length(config, mined), tuned, reporter) if tuned.is_dir() else None


def tuned_on_dev(context: Context, collection: Collection, base: Embeddings) -> Embeddings | None:
    """Tune the encoder on the training queries that people asked, and keep it if dev gains from it.

    Pseudo-queries teach and favour their own wording, so that people have to have asked most of dev, too; a machine
    may have judged both. It is kept where it finds more than the encoder as it is, with the query map that dev gives
    that one, on nine resamples of the dev queries of ten. What was tuned is kept for all runs of the folder: a killed
    run goes on.

    Args:
        context: of the stage `mine`.
        collection: of the run.
        base: embeddings of the encoder as it is.

    Returns:
        Its embeddings; None if it is not kept, or there is too little to learn or to choose from.
    """
    config, reporter, kept = context.config, context.reporter, MinedFolder(context.folder).tuned_encoder
    if why_not := _why_not(config, collection, base):
        reporter.note(f"first_stage.tune_encoder: the encoder stays as it is; {why_not}")
        return None
    folder = _tuned(config, _examples(collection, config.collection.train), reporter)
    tuned = _open(config, folder, reporter, sharing(config, context.engine))
    before = _values(context, collection, base, "base", with_map=config.first_stage.query_map)
    after = _values(context, collection, tuned, "tuned", with_map=False)
    figures = f"{config.evaluation.metric} of its vectors on dev {before.mean():.3f} before, {after.mean():.3f} after"
    figures += _judged_by(collection, config.collection.dev_split)
    if resamples_won(after, before, config.seed) < CERTAIN:
        reporter.note(f"first_stage.tune_encoder: the encoder stays as it is; {figures}")
        return None
    reporter.note(f"first_stage.tune_encoder: trained on the training queries; {figures}")
    link_tree(folder, kept)
    return tuned


def _examples(collection: Collection, train: str) -> TuningSet:
    asked, spared = judged_queries(asked_by_people(collection, train)), spared_documents(collection, train)
    return TuningSet(
        [collection.queries[query_id] for query_id in asked],
        [positives(found) for found in asked.values()],
        lambda doc_id: collection.corpus[doc_id].full_text,
        {position: spared[query_id] for position, query_id in enumerate(asked) if query_id in spared},
    )


def _why_not(config: Config, collection: Collection, base: Embeddings) -> str:
    """Why the encoder is not to be tuned; empty if it is."""
    split, dev = config.collection.train, config.collection.dev_split
    train, judged = (len(judged_queries(asked_by_people(collection, name))) for name in (split, dev))
    if config.other_encoder:
        return "first_stage.encoder is another model than the base model"
    if not mostly_asked_by_people(collection, dev):
        return f"most queries of {dev} were not asked by people"
    if train < _LEAST_TRAINING_QUERIES or judged < LEAST_QUERIES:
        return (
            f"{train:,} training and {judged:,} dev queries that people asked are too few "
            f"({_LEAST_TRAINING_QUERIES}, {LEAST_QUERIES})"
        )
    if parameter_count(find_base_model(config.base_model)) > _MOST_PARAMETERS:
        return f"it has more than {_MOST_PARAMETERS / 1e6:.0f} million parameters"
    if base.seconds_anew(collection.corpus.values()) > MOST_SECONDS:
        return f"embedding the documents again would take more than {MOST_SECONDS / 60:.0f} minutes"
    return ""


def _judged_by(collection: Collection, dev: str) -> str:
    """Who else than people judged dev, for the note; empty if it is people."""
    if mostly_judged_by_people(collection, dev):
        return ""
    return f", where {' and '.join(judges(collection, dev))} judged, not people"


def _tuned(config: Config, examples: TuningSet, reporter: Reporter) -> Path:
    """The folder of the tuned encoder, shared by all runs on the same queries."""
    base, prompts = find_base_model(config.base_model), base_prompts(config)
    read = hashlib.sha256()
    for position, (query, found) in enumerate(zip(examples.queries, examples.positives, strict=True)):
        spared = map(examples.text, examples.spared.get(position, ()))
        read.update(json.dumps([query, [examples.text(doc_id) for doc_id in found], *spared]).encode())
    others: list[Any] = [asdict(prompts)] if prompts else []
    if not is_saved_in_fp32(base):  # earlier versions tuned such a model in half precision
        others.append("fp32")
    identity = json.dumps([model_hash(base), config.seed, asdict(RULES), read.hexdigest(), *others], sort_keys=True)
    folder = config.runs / SHARED_FOLDER / f"tuned-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        started = time.monotonic()
        with reporter.bar("tuning the encoder on the training queries", 1) as advance:
            pairs = tune_encoder(base, folder, examples, config.base_model, config.seed, prompts, advance)
        reporter.note(f"the encoder was tuned on {pairs}, in {(time.monotonic() - started) / 60:.0f} min")
    return folder


def _open(config: Config, folder: Path, reporter: Reporter, engine: Engine | None = None) -> Embeddings:
    length, name = config.first_stage.encoder_tokens, tuned_name(config.base_model)
    found = open_embeddings(str(folder), length, config.runs, reporter, name, engine)
    if found is None:
        raise TypeError(f"{folder}: no bi-encoder")
    return found


def _values(
    context: Context, collection: Collection, embeddings: Embeddings, name: str, *, with_map: bool
) -> NDArray[np.float64]:
    """What the encoder's vectors find for the dev queries, if wanted with the query map that dev calls for."""
    config, documents = context.config, collection.corpus.values()
    splits, metric = config.collection, config.evaluation.metric
    retriever: StoredRetriever = embeddings.retriever(documents, search_by_shards(context, len(documents), name))
    part = vector_part(retriever)
    if part is None:
        raise TypeError(f"{retriever.kind}: searches no vectors")
    if with_map:
        found = moved_on_dev(part, collection, splits.train, splits.dev_split, metric, config.seed)
        part = part.with_query_map(found.query_map)
    return values_found(part, collection, collection.qrels(splits.dev_split), metric)

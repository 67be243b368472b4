"""How many tokens a run's bi-encoder reads: what the config says, or what people's queries or titles choose."""

from __future__ import annotations

from collections.abc import Collection as Collected
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from crossforge.documents import Document
from crossforge_train.collections.collection import Collection, Qrels, titles_among
from crossforge_train.config.first_stage import AUTO
from crossforge_train.config.run import Config
from crossforge_train.encoders.embeddings import Embeddings
from crossforge_train.evaluation.combination import LEAST_QUERIES
from crossforge_train.evaluation.encoder_length import best_length, draw_sample, lengths_that_differ, value_of_length
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.choosing import queries_that_choose, training_queries_that_choose
from crossforge_train.stages.embedding import run_embeddings
from crossforge_train.stages.shards import index_for_mining
from crossforge_train.stages.stage import Context

# Where embedding the sample takes longer, the encoder reads all that it can.
_MOST_SECONDS = 300
# Documents that tell whether the corpus has long ones.
_LOOKED_AT = 1000


def with_encoder_length(config: Config, mined: MinedFolder) -> Config:
    """The config with the tokens that the stage `mine` chose, if it says `auto`."""
    return _reading(config, mined.choice.encoder_tokens) if config.first_stage.encoder_max_length == AUTO else config


def with_length_chosen(context: Context, collection: Collection) -> Context:
    """The context of the stage `mine` with the tokens chosen, if its config says `auto` and there is a choice.

    Training and dev queries of people choose, or titles where these are too few: the encoder as it is has learned from
    none of them. With an encoder other than the base model, nothing is chosen: both read all that they can.
    """
    config, settings = context.config, context.config.first_stage
    if settings.encoder_max_length != AUTO:
        return context
    dev = queries_that_choose(collection, config.collection.dev_split)
    qrels, what = _choosing(collection, judged_queries({**training_queries_that_choose(config, collection), **dev}))
    if not settings.embeds or config.other_encoder or len(qrels) < LEAST_QUERIES:
        return context
    embeddings = run_embeddings(config, context.reporter, context.engine)
    documents = collection.corpus.values()
    if embeddings is None or not _may_differ(_spread(documents), embeddings):
        return context
    sample = draw_sample(collection, qrels, index_for_mining(context, documents), config.seed)
    if embeddings.seconds_anew(sample.documents) > _MOST_SECONDS:
        return context
    most, metric = embeddings.encoder_settings.max_length, config.evaluation.metric
    values = {
        length: value_of_length(sample, _embeddings(context, length, most).retriever(sample.documents), metric)
        for length in lengths_that_differ(embeddings.tokens_read(sample.documents), most)
    }
    chosen = best_length(values)
    figures = ", ".join(f"{value:.3f} with {length}" for length, value in values.items())
    context.reporter.note(
        f"first_stage.encoder_max_length: the encoder reads {chosen} tokens; {metric} of its vectors on "
        f"{len(sample.judged)} {what} is {figures}"
    )
    return replace(context, config=_reading(config, _setting(chosen, most)))


def _choosing(collection: Collection, qrels: Qrels) -> tuple[Qrels, str]:
    """Those that choose among people's queries and titles, and what they are."""
    titles = titles_among(collection, qrels)
    peoples = {query_id: found for query_id, found in qrels.items() if query_id not in titles}
    return (peoples, "training and dev queries") if len(peoples) >= LEAST_QUERIES else (titles, "titles")


def _spread(documents: Collected[Document]) -> list[Document]:
    """Documents from all over the corpus."""
    return list(islice(documents, 0, None, max(len(documents) // _LOOKED_AT, 1)))


def _may_differ(documents: Sequence[Document], embeddings: Embeddings) -> bool:
    """Whether it may make a difference how much of such documents is read."""
    return len(lengths_that_differ(embeddings.tokens_read(documents), embeddings.encoder_settings.max_length)) > 1


def _embeddings(context: Context, length: int, most: int) -> Embeddings:
    config = _reading(context.config, _setting(length, most))
    found = run_embeddings(config, context.reporter, context.engine)
    if found is None:
        raise TypeError(f"{config.base_model}: no bi-encoder")
    return found


def _setting(length: int, most: int) -> int | None:
    """The setting for a length; None for the encoder's limit, so that vectors of earlier runs are found again."""
    return None if length == most else length


def _reading(config: Config, tokens: int | None) -> Config:
    first_stage = config.first_stage.model_copy(update={"encoder_max_length": tokens})
    return config.model_copy(update={"first_stage": first_stage})

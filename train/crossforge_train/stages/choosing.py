"""Which queries choose settings of parts that have not learned from them: people's, and titles in their place."""

from __future__ import annotations

from crossforge_train.collections.collection import Collection, Qrels, of_people, titles_among
from crossforge_train.config.run import Config


def queries_that_choose(collection: Collection, split: str) -> Qrels:
    """The queries of a split that people asked and judged, and those that are titles, with their judgements."""
    return {**of_people(collection, split), **titles_among(collection, collection.qrels(split))}


def training_queries_that_choose(config: Config, collection: Collection) -> Qrels:
    """These of the training split.

    Empty for a mixture, which holds other domains and copies, and with an encoder other than the base model, which may
    have been trained on these queries.

    Args:
        config: of the run.
        collection: of the run.
    """
    source = config.collection
    return {} if source.mix or source.replay or config.other_encoder else queries_that_choose(collection, source.train)

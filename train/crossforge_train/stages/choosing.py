"""Which training queries may join dev in choosing settings of parts that have not learned from them."""

from __future__ import annotations

from crossforge_train.collections.collection import Collection, Qrels, of_people
from crossforge_train.config.run import Config


def training_queries_that_choose(config: Config, collection: Collection) -> Qrels:
    """The training queries that people asked and judged, with their judgements.

    Empty for a mixture, which holds other domains and copies, and with an encoder other than the base model, which may
    have been trained on these queries.

    Args:
        config: of the run.
        collection: of the run.
    """
    source = config.collection
    if source.mix or source.replay or config.other_encoder:
        return {}
    return of_people(collection, source.train)

"""The training queries that may choose, with dev, how what has not learned from them is used."""

from __future__ import annotations

from crossforge_train.collections.collection import Collection, Qrels, of_people
from crossforge_train.config.run import Config


def training_queries_that_choose(config: Config, collection: Collection) -> Qrels:
    """The training queries that people asked and judged, with their judgements.

    None of a mixture, which holds other domains and copies, and none where the first stage has an encoder of the
    user's own, which may have learned from them.

    Args:
        config: of the run.
        collection: of the run.
    """
    source = config.collection
    if source.mix or source.replay or config.other_encoder:
        return {}
    return of_people(collection, source.train)

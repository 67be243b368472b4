"""Picks how negatives are chosen among the candidates, where the config leaves it to a rule."""

from __future__ import annotations

from crossforge_train.collections.collection import Collection, mostly_judged_by_people
from crossforge_train.config.mining import AUTO, MiningConfig
from crossforge_train.config.run import Config
from crossforge_train.mining.teachers import base_teaches
from crossforge_train.reporting import Reporter

TOP, SAMPLE = "top", "sample"


def with_choice(config: Config, collection: Collection, reporter: Reporter, *, near: bool) -> MiningConfig:
    """The config section with a choice in place of `auto`.

    A bi-encoder that retrieves, teaches and is where training starts already tells most of the documents within the
    window from the relevant one. Its mistakes, from which alone there is more to learn, come first among those that it
    finds. So the first ones are taken, where people's judgements say that they are not relevant.

    Args:
        config: of the run.
        collection: of the run.
        reporter: shows the choice and the reason for it.
        near: whether vectors find some of the candidates.
    """
    settings = config.mining
    if settings.choice != AUTO:
        return settings
    choice = SAMPLE
    if not near:
        reason = "only words find them"
    elif config.other_encoder:
        reason = "another model than the base model embeds"
    elif not base_teaches(config):
        reason = "the base model is no teacher"
    elif not mostly_judged_by_people(collection, config.collection.train):
        reason = "people did not judge most training queries"
    else:
        choice, reason = TOP, "the base model's mistakes are among the first"
    reporter.note(f"mining.choice: {choice}, picked because {reason}")
    return settings.model_copy(update={"choice": choice})

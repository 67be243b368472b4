"""Shares of the labelled training queries, each within the next, and the stages that train on one of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.first_stage import approximated
from crossforge_train.learning_curve.measuring import MEASURE
from crossforge_train.run_folder import COLLECT, FINETUNE, MINE, RunFolder
from crossforge_train.stage_folders import CollectedFolder
from crossforge_train.stages import mine
from crossforge_train.stages.links import link_tree
from crossforge_train.stages.mine import mine_training_queries, training_queries
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.records import read_record
from crossforge_train.stages.stage import Context, Stage

SHARES = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2))

# An eighth of fewer is a handful of queries, from which nothing can be learned.
LEAST_LABELLED = 40


@dataclass(frozen=True)
class Share:
    """Some of the labelled training queries.

    Attributes:
        share: of all of them.
        query_ids: which.
    """

    share: Fraction
    query_ids: Sequence[str]


def drawn_shares(config: Config, collection: Collection) -> list[Share]:
    """An eighth, a quarter, half and all of the labelled queries that the config trains on; each holds those before it.

    Raises:
        InputError: there are too few.
    """
    judged = judged_queries(collection.qrels(config.collection.train))
    labelled = sorted(query_id for query_id in training_queries(config, collection) if query_id in judged)
    if len(labelled) < LEAST_LABELLED:
        raise InputError(
            f"split {config.collection.train}: {len(labelled)} of its queries have a relevant document; a learning "
            f"curve needs {LEAST_LABELLED}, since it trains on an eighth of them, too; label more first"
        )
    random.Random(f"{config.seed}:shares").shuffle(labelled)  # noqa: S311 - a seeded draw, not a secret
    return [Share(share, labelled[: round(share * len(labelled))]) for share in (*SHARES, Fraction(1))]


def config_of(base: Config, share: Share) -> Config:
    """The config of the run that trains on a share: a folder within the whole run's.

    It is named by its path within `runs`, so that `runs` stays what it is and no text is embedded twice.
    """
    folder = RunFolder(base.folder).learning_curve / f"queries-{len(share.query_ids):05}"
    return base.model_copy(update={"name": folder.relative_to(base.runs).as_posix()})


def stages_of(base: Config, share: Share) -> list[Stage]:
    """The stages that train on a share and measure it, once the whole run has collected and mined.

    The documents are those of the whole run, and so is the first stage, unless it has learned from the labels.
    """
    whole = RunFolder(base.folder)
    later = [stage for stage in stages_until(base, FINETUNE) if stage.name not in (COLLECT, MINE)]
    return [_collect(base, whole, share), _mine(whole), *later, MEASURE]


def _collect(base: Config, whole: RunFolder, share: Share) -> Stage:
    drawn = hashlib.sha256("\n".join(share.query_ids).encode()).hexdigest()

    def run(context: Context) -> None:
        written, train = CollectedFolder(context.folder), base.collection.train
        link_tree(whole.collected.path, written.path)
        collection, kept = whole.collected.collection(), set(share.query_ids)
        qrels = {query_id: found for query_id, found in collection.qrels(train).items() if query_id in kept}
        written.save_judged(collection.with_splits({**collection.splits, train: qrels}))
        counts = whole.collected.counts
        written.save_counts(replace(counts, queries={**counts.queries, train: len(qrels)}))

    return Stage(COLLECT, lambda _: {**_made_from(whole, COLLECT), "queries": drawn}, run)


def _mine(whole: RunFolder) -> Stage:
    def run(context: Context) -> None:
        learned = whole.mined.choice.moved or whole.mined.choice.tuned
        if learned:  # from all labels: this share teaches something else
            mine.STAGE.run(context)
            return
        link_tree(whole.mined.path, context.folder)
        collection = context.run.collected.collection()
        mine_training_queries(context, collection, approximated(whole.mined.retriever(), None))

    def depends_on(config: Config) -> Mapping[str, Any]:
        return {**mine.STAGE.depends_on(config), **_made_from(whole, MINE)}

    return replace(mine.STAGE, depends_on=depends_on, run=run, formerly=None)


def _made_from(whole: RunFolder, stage: str) -> Mapping[str, Any]:
    """What a share depends on of a stage of the whole run, which may have been made again of the same inputs."""
    record = read_record(whole, stage)
    if record is None or record.made_from is None:  # made by an earlier version, as whose shares record no more
        return {"whole": record and record.fingerprint}
    return {"whole": record.fingerprint, "whole_made": record.made}

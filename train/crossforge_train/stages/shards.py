"""What the stage `mine` indexes and searches by shards, where the config asks for them: the same is found as without.

It lies in the stage's folder of shards, and serves as long as the stage runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from crossforge.documents import Document
from crossforge.retrievers.base import StoredRetriever
from crossforge_train.first_stage import MakeIndex, fit_first_stage
from crossforge_train.sharding.fitting import fit_by_shards, vectors_by_shards
from crossforge_train.sharding.opening import VECTORS
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.stage import Context


def index_by_shards(context: Context) -> MakeIndex | None:
    """What indexes the run's corpus by terms; None if no shards are asked for."""
    compute = context.config.compute
    if not compute.by_shards:
        return None

    def make(settings: Mapping[str, Any]) -> StoredRetriever:
        folder = MinedFolder(context.folder).shards / settings["weighting"]
        return fit_by_shards(
            context.run.collected.documents, settings, context.engine, folder, compute.number_of_shards
        )

    return make


def index_for_mining(context: Context, documents: Collection[Document]) -> StoredRetriever:
    """The index of terms that hard negatives come from where the first stage is more than that; see `for_mining`."""
    return fit_first_stage(documents, context.config.first_stage.for_mining, make_index=index_by_shards(context))


def search_by_shards(context: Context, documents: int, encoder: str = VECTORS) -> Mapping[str, Any] | None:
    """Settings that keep an encoder's vectors on disk and search shards of them; None if no shards are asked for.

    Args:
        context: of the stage.
        documents: how many there are.
        encoder: tells its vectors from those of others.
    """
    compute = context.config.compute
    if not compute.by_shards:
        return None
    folder = MinedFolder(context.folder).shards / encoder
    return vectors_by_shards(documents, context.engine, folder, compute.number_of_shards)

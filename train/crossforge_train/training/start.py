"""The model that training starts from: the base model itself, or a graft of it where it is a bi-encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from transformers import set_seed

from crossforge.errors import InputError
from crossforge.files import written_atomically
from crossforge.loading import holds_reranker
from crossforge_train import processes
from crossforge_train.base_model import is_bi_encoder
from crossforge_train.collections.collection import Collection
from crossforge_train.mining.groups import Group
from crossforge_train.packaging.checkpoint import save_checkpoint
from crossforge_train.reporting import Reporter
from crossforge_train.training.config import AUTO, TrainingConfig
from crossforge_train.training.picks import Head

START_FOLDER = "start"
_GROUPS = 64  # whose first positive and last negative the graft is fitted to
_FAITHFUL = 0.8  # correlation of its scores with the bi-encoder's cosines


@dataclass(frozen=True)
class StartingModel:
    """A model to train.

    Attributes:
        folder: where it is.
        head: what its head is.
    """

    folder: Path
    head: Head


def starting_model(
    folder: Path,
    base_model: Path,
    training: TrainingConfig,
    groups: Iterable[Group],
    collection: Collection,
    max_length: int,
    seed: int,
    reporter: Reporter,
) -> StartingModel:
    """The model to train: `base_model`, or a graft of it in `folder`, made once.

    Raises:
        InputError: the config asks for a graft and none can be made.
    """
    if training.start == "fresh_head" or not is_bi_encoder(base_model):
        if training.start == "bi_encoder":
            raise InputError(f"training.start is bi_encoder, and {base_model} is none; take auto")
        return _as_it_is(base_model)
    why_not = processes.from_main(
        lambda: _graft(folder / START_FOLDER, base_model, groups, collection, max_length, seed, reporter)
    )
    if not why_not:
        return StartingModel(folder / START_FOLDER, "grafted")
    if training.start != AUTO:
        raise InputError(f"training.start: {base_model} cannot be the start, for {why_not}; take auto")
    reporter.note(f"training starts with a fresh head, not with the bi-encoder's cosines: {why_not}")
    return _as_it_is(base_model)


def _as_it_is(base_model: Path) -> StartingModel:
    return StartingModel(base_model, "trained" if holds_reranker(base_model) else "fresh")


def _graft(
    made: Path, bi_encoder: Path, groups: Iterable[Group], collection: Collection, max_length: int, seed: int,
    reporter: Reporter,
) -> str:  # fmt: skip
    """Write the graft, if there is none from before; gives what stood in the way, or an empty text."""
    from crossforge_train.grafting.graft import graft, obstacle

    if made.is_dir():
        return ""
    if why_not := obstacle(bi_encoder):
        return why_not
    set_seed(seed)
    with reporter.bar("building in the bi-encoder's cosines", 1) as advance:
        found = graft(bi_encoder, _pairs(groups, collection), max_length)
        advance()
    if found.correlation < _FAITHFUL:
        return f"the scores would follow them with a correlation of {found.correlation:.2f} only"
    reporter.note(
        f"training starts from the bi-encoder: scores follow its cosines, correlation {found.correlation:.2f}"
    )
    with written_atomically(made) as beside:
        save_checkpoint(found.model, bi_encoder, beside, max_length)
    return ""


def _pairs(groups: Iterable[Group], collection: Collection) -> list[tuple[str, str]]:
    return [
        (collection.queries[group.query_id], collection.corpus[doc_id].full_text)
        for group in islice(groups, _GROUPS)
        for doc_id in (group.doc_ids[0], group.doc_ids[-1])
    ]

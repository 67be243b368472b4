"""Chooses the starting model: the base model itself or, if it is a bi-encoder, a graft of it."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed

from crossforge.errors import InputError
from crossforge.files import written_atomically
from crossforge.heads.choice import without_head
from crossforge.loading import holds_reranker
from crossforge.tokenization import PairTokenizer
from crossforge_train import processes
from crossforge_train.collections.collection import Collection
from crossforge_train.config.training import AUTO
from crossforge_train.mining.groups import Group
from crossforge_train.models.base_model import is_bi_encoder
from crossforge_train.models.export import save_checkpoint
from crossforge_train.training.picks import Head
from crossforge_train.training.task import TrainingTask

_GROUPS = 100  # whose pairs a graft is fitted to
_FAITHFUL = 0.9  # least correlation of its scores with the bi-encoder's cosines, within a query


@dataclass(frozen=True)
class StartingModel:
    """A model to train.

    Attributes:
        folder: folder of the model, with the tokenizer that it is trained with.
        head: whether the head is fresh, grafted or already trained.
    """

    folder: Path
    head: Head


def starting_model(task: TrainingTask, pairs: Sequence[tuple[str, str]], max_length: int) -> StartingModel:
    """The model to train: the base model, or a graft of it, made once and kept among the working files.

    Args:
        task: the training task.
        pairs: query–document pairs to fit a graft to; see `fitting_pairs`.
        max_length: maximum tokens read of a pair.

    Raises:
        InputError: the config requires a graft and none can be made.
    """
    start, base_model = task.config.training.start, task.base_model
    if start == "fresh_head" or not is_bi_encoder(base_model):
        if start == "bi_encoder":
            raise InputError(f"training.start is bi_encoder, but {base_model} is not one; use auto")
        found = _as_it_is(base_model)
        if found.head == "fresh":
            task.reporter.note(f"training starts with a fresh head: {without_head(base_model)}")
        return found
    why_not = processes.from_main(lambda: _graft(task, pairs, max_length))
    if not why_not:
        return StartingModel(task.files.start, "grafted")
    if start != AUTO:
        raise InputError(f"training.start: {base_model} cannot be grafted: {why_not}; use auto")
    task.reporter.note(f"training starts with a fresh head, not from the bi-encoder's cosines: {why_not}")
    return _as_it_is(base_model)


def fitting_pairs(
    groups: Iterable[Group], collection: Collection, tokenizer: PairTokenizer, seed: int
) -> list[tuple[str, str]]:
    """Draw enough relevant and other pairs of the domain to fit a graft to, among those that can be read.

    Raises:
        InputError: no query leaves room for a document.
    """
    readable = (group for group in groups if tokenizer.fits(collection.queries[group.query_id]))
    draw = random.Random(seed)  # noqa: S311 - a seeded draw, not a secret
    # Keeping the highest random numbers draws uniformly from the stream, whose neighbours are often alike.
    drawn = heapq.nlargest(_GROUPS, ((draw.random(), group.query_id, group.doc_ids) for group in readable))
    if not drawn:
        raise InputError(f"no training query leaves room for a document in {tokenizer.max_length} tokens")
    return [
        (collection.queries[query_id], collection.corpus[doc_id].full_text)
        for _, query_id, doc_ids in drawn
        for doc_id in doc_ids
    ]


def save_graft(model: Any, bi_encoder: Path, folder: Path, max_length: int) -> None:
    """Write a graft of a bi-encoder and the tokenizer that it is trained with; see `save_checkpoint`."""
    from crossforge_train.grafting.tokens import write_joined

    save_checkpoint(model, bi_encoder, folder, max_length)
    write_joined(folder)


def _as_it_is(base_model: Path) -> StartingModel:
    return StartingModel(base_model, "trained" if holds_reranker(base_model) else "fresh")


def _graft(task: TrainingTask, pairs: Sequence[tuple[str, str]], max_length: int) -> str:
    """Write the graft unless it exists; returns the reason if none can be made, else an empty string."""
    from crossforge_train.grafting.graft import graft, obstacle

    bi_encoder = task.base_model
    if task.files.start.is_dir():
        return ""
    if why_not := obstacle(bi_encoder):
        return why_not
    set_seed(task.config.seed)
    with task.reporter.bar("grafting the bi-encoder", 1) as advance:
        found = graft(bi_encoder, pairs, max_length, task.query_map)
        advance()
    if found.correlation < _FAITHFUL:
        return f"a graft's scores would follow the cosines with a correlation of only {found.correlation:.2f}"
    task.reporter.note(
        f"training starts from the bi-encoder: scores follow its cosines with a correlation of {found.correlation:.2f}"
    )
    with written_atomically(task.files.start) as beside:
        save_graft(found.model, bi_encoder, beside, max_length)
    return ""

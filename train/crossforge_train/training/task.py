"""`TrainingTask`: the inputs of a training and its working files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossforge.retrievers.base import Retriever
from crossforge.runs import Run
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import Reporter


@dataclass(frozen=True)
class WorkingFiles:
    """Files from which a killed training resumes; all are removed when it ends.

    Attributes:
        picked: values picked for every `auto`.
        dev_queries: ids of the dev queries that decide.
        rows: training rows, in Arrow format.
        start: folder of the starting model, if one had to be made.
        checkpoints: folder of the trainer's checkpoints.
        base: folder of the base model with the config's instruction or prompts, if it has any.
    """

    picked: Path
    dev_queries: Path
    rows: Path
    start: Path
    checkpoints: Path
    base: Path


@dataclass(frozen=True)
class TrainingTask:
    """The inputs of a training.

    Attributes:
        config: config of the run.
        reporter: shows progress.
        collection: texts and judgements.
        base_model: folder of the model to train.
        groups: starts a new iteration over the training groups on each call.
        retriever: the first stage; it chooses passages.
        query_map: moves the base model's query vectors, shape (dimension, dimension); None if they stay.
        dev_run: first-stage candidates of the dev split.
        files: working files.
        tensorboard: folder for TensorBoard logs, if enabled; it stays.
        keep: called by the main process when a checkpoint is complete.
    """

    config: Config
    reporter: Reporter
    collection: Collection
    base_model: Path
    groups: Callable[[], Iterator[Group]]
    retriever: Retriever
    query_map: NDArray[np.float32] | None
    dev_run: Run
    files: WorkingFiles
    tensorboard: Path
    keep: Callable[[], None] = lambda: None

"""`TrainingTask`: what is trained, on what, and the files that it needs while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crossforge.retrievers.base import Retriever
from crossforge.runs import Run
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import Reporter


@dataclass(frozen=True)
class WorkingFiles:
    """What a training that is killed goes on from; none of it is left when the training ends.

    Attributes:
        picked: the values chosen for every `auto`.
        rows: the training rows, in Arrow.
        start: the folder of the model that training starts from, if that had to be made.
        checkpoints: the folder of the trainer's checkpoints.
    """

    picked: Path
    rows: Path
    start: Path
    checkpoints: Path


@dataclass(frozen=True)
class TrainingTask:
    """Everything that a training takes.

    Attributes:
        config: of the run.
        reporter: shows progress.
        collection: texts and judgements.
        base_model: folder of the model to train.
        groups: gives the training groups anew at each call.
        retriever: the first stage; it chooses passages.
        dev_run: first-stage candidates of the dev split.
        files: where it keeps its files.
        tensorboard: folder for TensorBoard, if that is asked for; it stays.
    """

    config: Config
    reporter: Reporter
    collection: Collection
    base_model: Path
    groups: Callable[[], Iterator[Group]]
    retriever: Retriever
    dev_run: Run
    files: WorkingFiles
    tensorboard: Path

"""`History`: how a training went, as `history.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.config.training import PickedTraining

DEV_METRIC = "dev_metric"  # what the trainer logs, as `eval_dev_metric`


@dataclass(frozen=True)
class History:
    """How a training went.

    Attributes:
        training: the config section with nothing left to `auto`.
        first_stage_dev: the first stage's metric on dev.
        best_dev: the metric on dev of the weights that were kept.
        best_step: the step of the best checkpoint; None if none was measured.
        steps: how many were taken.
        groups: how many were trained on.
        device: what trained.
        cut_in_training: share of the training documents that are longer than what is read of them.
        cut_on_dev: the same of the dev candidates.
        log: what the trainer logged, by step.
        start_share: share of the starting weights that was mixed in at the end; 0 where none was.
    """

    training: PickedTraining
    first_stage_dev: float
    best_dev: float
    best_step: int | None
    steps: int
    groups: int
    device: str
    cut_in_training: float
    cut_on_dev: float
    log: Sequence[Mapping[str, Any]]
    start_share: float = 0.0

    def losses(self) -> list[tuple[int, float]]:
        """(step, training loss) of each logged step."""
        return [(entry["step"], entry["loss"]) for entry in self.log if "loss" in entry]

    def dev_metrics(self) -> list[tuple[int, float]]:
        """(step, metric on dev) of each measurement."""
        key = f"eval_{DEV_METRIC}"
        return [(entry["step"], entry[key]) for entry in self.log if key in entry]

    def last(self, key: str) -> float | None:
        """The last logged value under a key of the trainer's log; None if there is none."""
        found = [entry[key] for entry in self.log if key in entry]
        return float(found[-1]) if found else None

    def with_merged(self, share: float, dev: float) -> History:
        """The same training, its weights mixed with a share of those that it started from."""
        return replace(self, start_share=share, best_dev=dev)


def write_history(path: Path, history: History) -> None:
    """Write a history as JSON."""
    write_json(
        path,
        {
            "training": history.training.model_dump(),
            "first_stage_dev": history.first_stage_dev,
            "best_dev": history.best_dev,
            "best_step": history.best_step,
            "steps": history.steps,
            "precision": history.training.precision,
            "device": history.device,
            "groups": history.groups,
            "cut_documents": {"training": round(history.cut_in_training, 4), "dev": round(history.cut_on_dev, 4)},
            "start_share": history.start_share,
            "log": history.log,
        },
    )


def read_history(path: Path) -> History:
    """Read what `write_history` wrote, in this version or an earlier one.

    Raises:
        InputError: the file is missing or no history.
    """
    found = read_json(path)
    try:
        return History(
            training=PickedTraining(**found["training"]),
            first_stage_dev=found["first_stage_dev"],
            best_dev=found["best_dev"],
            best_step=found["best_step"],
            steps=found["steps"],
            groups=found["groups"],
            device=found["device"],
            cut_in_training=found["cut_documents"]["training"],
            cut_on_dev=found["cut_documents"]["dev"],
            log=found["log"],
            start_share=found.get("start_share", 0.0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the history of a training ({error}); train again with --fresh") from None

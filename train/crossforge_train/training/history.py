"""`History`: the record of a training, stored in `history.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.config.training import PickedTraining

# What the evaluator measures.
DEV_METRIC, DEV_FUSED, DEV_SPREAD, DEV_CUT = "dev_metric", "dev_fused", "dev_spread", "dev_cut"


def logged_as(measure: str) -> str:
    """The name under which the trainer logs what the evaluator measured."""
    return f"eval_{measure}"


@dataclass(frozen=True)
class History:
    """The record of a training.

    Attributes:
        training: the config section, with every `auto` resolved; a shortened training has the epochs that it took.
        first_stage_dev: the first stage's metric on dev.
        best_dev: dev metric of the kept weights, without the first stage's score.
        best_step: step of the best checkpoint; None if none was measured.
        steps: number of training steps.
        groups: number of training groups.
        device: device used for training.
        cut_in_training: share of the training documents that are read only in part.
        cut_on_dev: share of the dev candidates that are read only in part.
        log: the trainer's log entries, by step.
        start_share: share of the starting weights mixed in at the end; 0 if none.
        best_fused: dev metric of the kept weights, fused with the first stage; they were chosen by it. None in
            trainings of earlier versions, which chose a checkpoint by `best_dev`.
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
    best_fused: float | None = None

    @property
    def chosen_by(self) -> float:
        """The dev metric by which the kept weights were chosen."""
        return self.best_dev if self.best_fused is None else self.best_fused

    def losses(self) -> list[tuple[int, float]]:
        """(step, training loss) of each logged step."""
        return self._logged("loss")

    def dev_metrics(self) -> list[tuple[int, float]]:
        """(step, metric on dev) of each measurement, without the first stage's score."""
        return self._logged(logged_as(DEV_METRIC))

    def fused_dev_metrics(self) -> list[tuple[int, float]]:
        """(step, metric on dev) of each measurement, fused with the first stage; empty for earlier versions."""
        return self._logged(logged_as(DEV_FUSED))

    def _logged(self, key: str) -> list[tuple[int, float]]:
        return [(entry["step"], entry[key]) for entry in self.log if key in entry]

    def last(self, key: str) -> float | None:
        """The last value logged under a key; None if there is none."""
        found = [entry[key] for entry in self.log if key in entry]
        return float(found[-1]) if found else None

    def with_merged(self, share: float, dev: float, fused: float) -> History:
        """The same training after mixing in a share of the starting weights, with the dev metrics of the mixture."""
        return replace(self, start_share=share, best_dev=dev, best_fused=fused)


def write_history(path: Path, history: History) -> None:
    """Write a history as JSON."""
    write_json(
        path,
        {
            "training": history.training.model_dump(),
            "first_stage_dev": history.first_stage_dev,
            "best_dev": history.best_dev,
            "best_fused": history.best_fused,
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
    """Read a file written by `write_history` of this version or an earlier one.

    Raises:
        InputError: the file is missing or not a history.
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
            best_fused=found.get("best_fused"),
        )
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: not a training history; delete {path.parent} and train again") from None

"""Trackers that the trainer reports to: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crossforge.errors import InputError


def require_trackers(names: Sequence[str]) -> None:
    """Raise `InputError` if a tracker's library is not installed."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise InputError(
            f"training.report_to names {', '.join(missing)}, which is not installed: "
            f"pip install {' '.join(missing)}, or leave it out"
        )


def trainers_own(names: Sequence[str]) -> list[str]:
    """The value of the trainer's `report_to`: all trackers but TensorBoard, see `tensorboard_callback`."""
    return [name for name in names if name != "tensorboard"]


def tensorboard_callback(folder: Path) -> Any:
    """The trainer's TensorBoard callback, writing into `folder` instead of among the checkpoints, its default."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(str(folder)))

"""Finds and loads the checkpoints of an interrupted run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from transformers import TrainerCallback, TrainerState

from crossforge.errors import InputError
from crossforge.files import read_json, remove
from crossforge_train import processes
from crossforge_train.training.stopping import Patience


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; incomplete newer ones are removed.

    The trainer writes `trainer_state.json` last, so a checkpoint that has it is complete.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for checkpoint in reversed(found):
        try:
            read_json(checkpoint / "trainer_state.json")
            return checkpoint.resolve()
        except InputError:
            remove(checkpoint)
    return None


class KeepCheckpoints(TrainerCallback):
    """Says when a checkpoint is complete: each process writes a part of it.

    Args:
        keep: called by the main process.
    """

    def __init__(self, keep: Callable[[], None]) -> None:
        self._keep = keep

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait for the other processes, and say so."""
        processes.wait_for_all()
        if processes.is_main():
            self._keep()


def state_at_the_end(checkpoint: Path, patience: Patience) -> Any:
    """The `TrainerState` of a checkpoint if its training is already over, else None.

    The trainer does not check this: it would take one more step, or forget that patience had run out.
    """
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return state if state.global_step >= state.max_steps or patience.is_over(state.log_history) else None


def load_weights(model: CrossEncoder, checkpoint: Path) -> None:
    """Load a checkpoint's weights into `model`."""
    model.model.load_state_dict(load_file(checkpoint / "model.safetensors", device=str(model.device)))

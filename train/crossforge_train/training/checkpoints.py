"""Checkpoints of a run that was cut off."""

from __future__ import annotations

from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_json, remove


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; half-written ones are removed.

    The trainer writes `trainer_state.json` last, so a checkpoint that has it has everything else.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for checkpoint in reversed(found):
        try:
            read_json(checkpoint / "trainer_state.json")
            return checkpoint.resolve()
        except InputError:
            remove(checkpoint)
    return None

"""Coordinates one or several processes: what only the main one does, and how the others get its results.

`accelerate launch` starts several; each finds its rank in the environment. All share one run folder, which must be on a
shared disk if they run on several nodes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

Result = TypeVar("Result")

# The others wait while the main process mines, possibly for hours; if one process fails, the launcher ends all.
PATIENCE = timedelta(days=7)


def count() -> int:
    """Number of processes working on this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this is the process that writes files and shows progress."""
    return rank() == 0


def from_main(work: Callable[[], Result]) -> Result:
    """Run `work` in the main process only, and return its result in all; the others wait for it.

    Raises:
        SystemExit: in the other processes, if `work` failed in the main one, which raises the actual error.
    """
    if count() == 1:
        return work()
    done: list[Any] = [None, False]
    try:
        if is_main():
            done = [work(), True]
    finally:  # also broadcast a failure, or the others would wait forever
        done = _broadcast(done)
    if not done[1]:
        raise SystemExit(1)
    return done[0]  # type: ignore[no-any-return]


def wait_for_all() -> None:
    """Block until every process has reached this call."""
    if count() > 1:
        _state().wait_for_everyone()


def part() -> None:
    """Disband the process group; a process that exits while others still communicate with it would abort."""
    if count() > 1:
        wait_for_all()
        _state().destroy_process_group()


def _broadcast(values: list[Any]) -> list[Any]:
    from accelerate.utils import broadcast_object_list

    _state()
    found: list[Any] = broadcast_object_list(values)
    return found


def _state() -> Any:
    """The process group, set up on the first call."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)

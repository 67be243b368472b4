"""One process or several: what the main one does alone, and how the others learn of it.

`accelerate launch` starts several; each finds its rank in the environment. They work on the same run folder, which on
several nodes is on a disk that all of them see.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

Result = TypeVar("Result")

# The others wait while the main process mines, which may take hours; the launcher ends them all if one of them fails.
_PATIENCE = timedelta(days=7)


def count() -> int:
    """How many processes work on this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this is the one that writes and shows progress."""
    return rank() == 0


def from_main(work: Callable[[], Result]) -> Result:
    """What `work` gives in the main process, which alone runs it; the others wait for it.

    Raises:
        SystemExit: in the other processes, if `work` failed in the main one, which tells why.
    """
    if count() == 1:
        return work()
    done: list[Any] = [None, False]
    try:
        if is_main():
            done = [work(), True]
    finally:  # told of a failure too: the others would wait for ever
        done = _broadcast(done)
    if not done[1]:
        raise SystemExit(1)
    return done[0]  # type: ignore[no-any-return]


def wait_for_all() -> None:
    """Return when every process has come here."""
    if count() > 1:
        _state().wait_for_everyone()


def part() -> None:
    """Let the processes go their own ways; one that ended while another still asks for it would abort."""
    if count() > 1:
        wait_for_all()
        _state().destroy_process_group()


def _broadcast(values: list[Any]) -> list[Any]:
    from accelerate.utils import broadcast_object_list

    _state()
    found: list[Any] = broadcast_object_list(values)
    return found


def _state() -> Any:
    """The group of processes, brought up by the first call."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)

"""What workers of a cluster do in tests; processes of their own import it by its name."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crossforge
import crossforge_train
from crossforge.errors import InputError


@contextmanager
def importable_by_workers() -> Iterator[None]:
    """A cluster that is started meanwhile imports this module, and crossforge from where this process has it."""
    sources = [Path(crossforge.__file__).parents[1], Path(crossforge_train.__file__).parents[1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, [Path(__file__).parent, *sources])))
        yield


def squares() -> Callable[[int], tuple[int, int]]:
    """The square of a number, and the process that computed it."""
    process = os.getpid()
    return lambda number: (number**2, process)


def slow_first() -> Callable[[int], int]:
    """Numbers, of which the first is the last to be ready."""

    def work(number: int) -> int:
        time.sleep(0.5 if number == 0 else 0)
        return number

    return work


def sleeping() -> Callable[[float], float]:
    """Seconds, which pass."""

    def work(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    return work


class KilledOnce:
    """Numbers; a worker is killed in the midst of one, and whoever gets it next finds out by a file."""

    def __init__(self, fatal: int, trace: Path) -> None:
        self.fatal, self.trace = fatal, trace

    def __call__(self) -> Callable[[int], int]:
        return self._work

    def _work(self, number: int) -> int:
        if number == self.fatal and not self.trace.exists():
            self.trace.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number


def deadly() -> Callable[[int], int]:
    """Numbers, of which 3 ends every worker."""

    def work(number: int) -> int:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return work


def failing() -> Callable[[int], int]:
    """Numbers, of which 3 is the user's mistake and 5 a bug."""

    def work(number: int) -> int:
        if number == 3:
            raise InputError("row 3: no number")
        if number == 5:
            raise ZeroDivisionError("five")
        return number

    return work


def unmakeable() -> Callable[[int], int]:
    """A worker whose model is not there."""
    raise InputError("no/such/model: no such folder")


def thread_limit() -> Callable[[int], str]:
    """With how many threads a worker may compute."""
    return lambda _: os.environ["CROSSFORGE_THREADS"]


def missing_module(_: str) -> None:
    """What importing fails in on a machine that lacks a package."""
    raise ModuleNotFoundError("No module named 'crossforge_train'")


def made_once() -> Callable[[int], str]:
    """By what name a worker was made."""
    name = uuid.uuid4().hex
    return lambda _: name

"""A lock on a folder that one run works in at a time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crossforge.errors import InputError
from crossforge.files import read_json, write_json


@contextmanager
def held(lock: Path, folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the thread that holds it may do so again. It ends with its process, however that ends.

    Args:
        lock: the lock file; a file beside it says who holds it.
        folder: what is locked, for the message.

    Raises:
        InputError: another process or thread holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    # One object per file, so that holding it again counts. Where a file system has no locks, its existence is the lock.
    taken = FileLock(lock, timeout=0, is_singleton=True)
    holder = lock.with_name(f"{lock.name}.json")
    try:
        taken.acquire()
    except Timeout:
        raise InputError(
            f"{folder}: {_in_words(holder)} is working in it; wait for it, or choose another name"
        ) from None
    try:
        write_json(holder, {"process": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        taken.release()


def _in_words(holder: Path) -> str:
    try:
        found = read_json(holder)
        return f"process {found['process']} on {found['host']}"
    except (InputError, KeyError, TypeError):  # it has only just taken the lock
        return "another process"

"""Starts processes that heed Ctrl-C once they can, and end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

_INTERRUPT = {signal.SIGINT}


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold back SIGINT, also in processes that are started meanwhile: it would cut short what they import."""
    resource_tracker.ensure_running()  # starting it with the first process would let signals through again
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)


def be_a_child() -> None:
    """Heed SIGINT from now on, and SIGTERM once the parent is gone: a process whose parent is killed would go on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
    threading.Thread(target=_end_with_parent, name="crossforge-parent", daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

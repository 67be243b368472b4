"""How many threads a process computes with, where an environment variable says so."""

from __future__ import annotations

import os

from crossforge.errors import InputError

# Threads that ONNX Runtime, OpenVINO and exact search compute with; without it, they take all cores.
THREADS_VARIABLE = "CROSSFORGE_THREADS"
# What other libraries in the same process read: OpenMP (torch, faiss), BLAS, the tokenizers, joblib.
_OTHERS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
)  # fmt: skip


def thread_count() -> int | None:
    """How many threads to compute with; None leaves it to each library.

    Raises:
        InputError: the variable holds no whole number of 1 or more.
    """
    given = os.environ.get(THREADS_VARIABLE)
    if given is None:
        return None
    if not given.strip().isdecimal() or int(given) < 1:
        raise InputError(f"{THREADS_VARIABLE} is {given!r}; expected a whole number of 1 or more")
    return int(given)


def limited_to(threads: int) -> dict[str, str]:
    """The environment of a process that is to compute with so many threads."""
    return dict.fromkeys((THREADS_VARIABLE, *_OTHERS), str(threads))

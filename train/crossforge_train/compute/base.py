"""`Engine`: works through batches, and gives the results in their order whatever worker was first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Batch = TypeVar("Batch")
Found = TypeVar("Found")

# Makes what turns one batch into one result; a model is loaded in the making, once for each worker.
MakeWorker = Callable[[], Callable[[Batch], Found]]


class Engine(Protocol):
    """Where the work of a stage is done.

    The results are the same everywhere, up to the rounding of models, so no fingerprint names the engine.
    """

    @property
    def workers(self) -> int:
        """How many work at a time."""
        ...

    @property
    def gpus(self) -> float:
        """GPUs that each of them has for itself; below 1, that is a share of one."""
        ...

    def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterable[Batch]) -> Iterator[Found]:
        """The result of each batch, in the order of the batches.

        Batches are read as workers become free, and no more results wait than a few for each worker, so neither need
        fit in memory together. A batch may be worked on twice, where a worker died of it or with it; its result is
        given once.

        Args:
            make_worker: called once for each worker, not before there is a batch; a worker that was made by an equal
                one in the call before may be kept. Where workers are processes of their
                own, it is pickled, and so are batches and results; files that it names are read by absolute paths.
            batches: what to work on.

        Raises:
            InputError: a batch ends its workers again and again.
            Exception: what a worker raised for a batch, which nobody tries again.
        """
        ...

"""The engine `local`: this process, one batch after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from crossforge_train.compute.base import Batch, Found, MakeWorker


class LocalEngine:
    """See `Engine`; what a worker does may still use all cores, as libraries do."""

    workers = 1
    gpus = 0

    def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterable[Batch]) -> Iterator[Found]:
        """See `Engine`."""
        work: Callable[[Batch], Found] | None = None
        for batch in batches:
            work = work or make_worker()
            yield work(batch)

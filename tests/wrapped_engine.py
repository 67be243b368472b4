"""Engines for tests: one around another, and one that does as a cluster does within this process."""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from crossforge_train.compute.base import Batch, Engine, Found, MakeWorker


@dataclass
class WrappedEngine:
    """What an engine says of itself; `map` is left to those that derive from this."""

    engine: Engine

    @property
    def workers(self) -> int:
        return self.engine.workers

    @property
    def gpus(self) -> float:
        return self.engine.gpus


@dataclass
class PretendedCluster:
    """Pickles whatever workers are given, and reads batches ahead, as a cluster does."""

    workers: int = 3
    gpus: float = 0
    batches: int = 0
    made: Counter[str] = field(default_factory=Counter)  # batches by what made the workers

    def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterable[Batch]) -> Iterator[Found]:
        work = pickle.loads(pickle.dumps(make_worker))()
        done: deque[Found] = deque()
        for batch in batches:
            self.batches += 1
            self.made[type(make_worker).__name__] += 1
            done.append(work(pickle.loads(pickle.dumps(batch))))
            if len(done) > self.workers:
                yield pickle.loads(pickle.dumps(done.popleft()))
        yield from done

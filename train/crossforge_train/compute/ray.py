"""The engine `ray`: workers are actors of a Ray cluster, which stay from one call to the next as long as it is open.

Ray itself counts restarts over an actor's whole life. Actors are restarted here instead, so that a batch that ends its
workers can be told from machines that are taken away.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from types import TracebackType
from typing import Any, Generic

import ray
from ray.exceptions import (
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from crossforge.errors import CrossforgeError, InputError, first_line
from crossforge.threads import limited_to
from crossforge_train.compute.base import Batch, Found, MakeWorker

# Of a processor; whole ones would leave none for Ray and the driver on a machine with two.
CPUS_PER_WORKER = 0.5
# How often a batch is tried again after it lost its worker.
_RETRIES = 3
# Batches for each worker that it works on, or that are done and wait for an earlier one.
_AHEAD = 3
# Seconds in which one of the actors must get a place while none has one; clusters that grow take minutes.
_PLACE = 600
_LOST = (RayActorError, WorkerCrashedError, ObjectLostError, OutOfMemoryError)
_FULL = (ObjectStoreFullError, OutOfDiskError)


@dataclass(frozen=True)
class RayEngine:
    """See `Engine`; the process has to be connected to a cluster as long as it is used.

    Attributes:
        workers: how many actors there are at most; they are started as batches come.
        gpus: GPUs that each of them has for itself; below 1, a share of one.
        threads: with how many threads each of them may compute.
        idle: actors that have nothing to do. A worker that is asked for twice in a row is there already.
        asked: actors that have not answered yet that they have a place, by what Ray calls their answers.
    """

    workers: int
    gpus: float = 0
    threads: int = 1
    idle: list[Any] = field(default_factory=list)
    asked: dict[Any, Any] = field(default_factory=dict)

    def close(self) -> None:
        """End the actors."""
        for actor in (*self.idle, *self.asked.values()):
            ray.kill(actor)
        self.idle.clear()
        self.asked.clear()

    def ask(self, actor: Any) -> None:
        """Let an actor answer that it has a place, before it gets a batch."""
        self.asked[actor.has_place.remote()] = actor

    def ask_again(self) -> None:
        """The same for all that are idle: those of a machine that was lost will not answer."""
        while self.idle:
            self.ask(self.idle.pop())

    def map(self, make_worker: MakeWorker[Batch, Found], batches: Iterable[Batch]) -> Iterator[Found]:
        """See `Engine`."""
        numbered = enumerate(batches)
        done: dict[int, Found | _Failure] = {}
        with _Pool[Batch, Found](self, make_worker) as pool:
            for turn in count():
                while True:
                    done.update(pool.finished(wait=False))
                    pool.start(numbered, before=turn + _AHEAD * self.workers)
                    if turn in done:
                        break
                    if not pool.is_busy:
                        return
                    done.update(pool.finished(wait=True))
                result = done.pop(turn)
                if isinstance(result, _Failure):
                    raise result.error from None
                yield result


@dataclass(frozen=True)
class _Failure:
    """What is raised in a batch's turn, after the results before it."""

    error: BaseException


@dataclass(frozen=True)
class _Task(Generic[Batch]):
    """A batch to work on.

    Attributes:
        number: of the batch.
        batch: what to work on.
        lost: how many actors were lost with the batch before.
    """

    number: int
    batch: Batch
    lost: int = 0


class _Pool(Generic[Batch, Found]):
    """Actors with at most one batch each, so that it is known which batch an actor died of.

    A batch waits here and not with an actor that has no place, so that whoever has one can take it.
    """

    def __init__(self, engine: RayEngine, make_worker: MakeWorker[Batch, Found]) -> None:
        self._engine = engine
        content = ray.cloudpickle.dumps(make_worker)
        # In a list, or Ray would hand the content to every call.
        with _asking_ray():
            self._recipe = sha256(content).hexdigest(), [ray.put(content)]
        self._waiting: deque[_Task[Batch]] = deque()
        self._working: dict[Any, tuple[_Task[Batch], Any]] = {}  # with their actors, by what Ray calls the results
        self._read = 0
        self._failed = 0

    def __enter__(self) -> _Pool[Batch, Found]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if ray.is_initialized():
            for _task, actor in self._working.values():
                ray.kill(actor)

    @property
    def is_busy(self) -> bool:
        """Whether there is a batch to work on."""
        return bool(self._waiting or self._working)

    def start(self, numbered: Iterator[tuple[int, Batch]], before: int) -> None:
        """Read a batch for each actor that has none, as long as their numbers are below `before`, and give them out."""
        while len(self._waiting) + len(self._working) < self._engine.workers and self._read < before:
            if (found := next(numbered, None)) is None:
                break
            self._waiting.append(_Task(*found))
            self._read += 1
        while self._waiting and self._engine.idle:
            self._give(self._waiting.popleft(), self._engine.idle.pop())
        while len(self._engine.asked) < len(self._waiting):
            self._engine.ask(self._actor())

    def finished(self, *, wait: bool) -> Iterator[tuple[int, Found | _Failure]]:
        """The numbers of batches that are done, and what became of them; with `wait`, not before an actor answers.

        Raises:
            InputError: Ray gives up, or has no place for a worker.
        """
        for reference in self._answers(wait):
            if reference in self._engine.asked:
                self._placed(reference)
            else:
                yield from self._done(reference)

    def _answers(self, wait: bool) -> list[Any]:
        """What Ray calls the results, and the answers of actors with a place, that are there."""
        while references := [*self._engine.asked, *self._working]:
            ready: list[Any] = ray.wait(references, timeout=_PLACE if wait else 0)[0]
            if ready or not wait:
                return ready
            if not self._working:  # otherwise actors may wait for what the working ones take
                raise InputError(_no_place(self._engine.gpus))
        return []

    def _placed(self, reference: Any) -> None:
        actor = self._engine.asked.pop(reference)
        try:
            with _asking_ray():
                ray.get(reference)
        except _LOST as error:
            ray.kill(actor)
            self._failed += 1
            if self._failed > self._engine.workers + _RETRIES:  # all that were idle may have been on one lost machine
                raise InputError(
                    f"Ray lost {self._failed} workers in a row before they had any work ({first_line(error)}); look "
                    "into its logs"
                ) from None
        else:
            self._failed = 0
            self._engine.idle.append(actor)

    def _done(self, reference: Any) -> Iterator[tuple[int, Found | _Failure]]:
        task, actor = self._working.pop(reference)
        try:
            with _asking_ray():
                result = ray.get(reference)
        except _LOST as error:
            ray.kill(actor)
            self._engine.ask_again()
            if task.lost < _RETRIES:
                self._waiting.appendleft(replace(task, lost=task.lost + 1))
            else:
                yield task.number, _Failure(_lost_for_good(task, error))
        except RayTaskError as error:
            self._engine.idle.append(actor)
            yield task.number, _Failure(_what_failed(error))
        else:
            self._engine.idle.append(actor)
            yield task.number, result

    def _give(self, task: _Task[Batch], actor: Any) -> None:
        with _asking_ray():
            self._working[actor.work.remote(*self._recipe, task.batch)] = task, actor

    def _actor(self) -> Any:
        engine = self._engine
        resources = {"num_cpus": CPUS_PER_WORKER, "num_gpus": engine.gpus, "scheduling_strategy": "SPREAD"}
        return ray.remote(_Worker).options(**resources).remote(engine.threads, engine.gpus)


class _Worker:
    """An actor. It makes what does the work with the first batch, so that a failure of either is told in one way.

    Args:
        threads: with how many threads it may compute.
        gpus: GPUs that it has for itself; below 1, a share of one.
    """

    def __init__(self, threads: int, gpus: float) -> None:
        os.environ.update(limited_to(threads))
        if not gpus:  # Ray would leave it those of its node, and it is one of many there
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._key = ""
        self._work: Callable[[Any], Any] | None = None

    def has_place(self) -> None:
        """Answers once there is a machine for the actor."""

    def work(self, key: str, recipe: list[Any], batch: Any) -> Any:
        """The result of a batch.

        Args:
            key: of the recipe; what has one key is made once.
            recipe: holds a reference to the pickled `make_worker`.
            batch: what to work on.
        """
        if self._work is None or self._key != key:
            self._work = None  # two models need not fit
            self._work, self._key = ray.cloudpickle.loads(ray.get(recipe[0]))(), key
        return self._work(batch)


@contextmanager
def _asking_ray() -> Iterator[None]:
    """Tell in one line what Ray cannot do; what a lost actor or a failed batch raises is for the caller."""
    try:
        yield
    except (*_LOST, RayTaskError):
        raise
    except RayError as error:
        raise _gave_up(error) from None


def _gave_up(error: RayError) -> InputError:
    if isinstance(error, _FULL):
        return InputError(
            f"Ray's object store is full ({type(error).__name__}); start the cluster with more "
            "--object-store-memory, or with more free disk where Ray spills"
        )
    return InputError(f"Ray gave up: {first_line(error)}")


def _no_place(gpus: float) -> str:
    in_all, free = (_amounts(found) for found in (ray.cluster_resources(), ray.available_resources()))
    return (
        f"compute.engine: Ray gave no worker a place in {_PLACE / 60:g} minutes; each takes "
        f"{_amounts({'CPU': CPUS_PER_WORKER, 'GPU': gpus})} of one node, and the cluster has {in_all}, {free} of them "
        "free; end what else runs there, or see compute.gpus_per_worker"
    )


def _amounts(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"


def _lost_for_good(task: _Task[Any], error: RayError) -> InputError:
    return InputError(
        f"batch {task.number + 1} lost {task.lost + 1} workers in a row ({first_line(error)}); if memory ran out, have "
        "fewer workers, and look into Ray's logs otherwise"
    )


def _what_failed(error: RayTaskError) -> BaseException:
    """What a worker raised; with Ray's traceback of it, unless it is the user's to mend."""
    cause = error.cause
    if isinstance(cause, _FULL):
        return _gave_up(cause)
    return cause if isinstance(cause, CrossforgeError) else error

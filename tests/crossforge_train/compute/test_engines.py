"""Both engines do the same; what only a cluster can get wrong is tested on a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray_workers

from crossforge.errors import InputError
from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Engine:
    return LocalEngine() if request.param == "local" else request.getfixturevalue("cluster")


def test_results_stand_in_the_order_of_batches(engine: Engine) -> None:
    found = list(engine.map(ray_workers.squares, range(40)))
    assert [square for square, _ in found] == [number**2 for number in range(40)]
    assert len({process for _, process in found}) <= engine.workers  # each was made once


def test_whoever_is_slow_is_waited_for(engine: Engine) -> None:
    assert list(engine.map(ray_workers.slow_first, range(12))) == list(range(12))


def test_nothing_to_do_is_done_at_once(engine: Engine) -> None:
    assert list(engine.map(ray_workers.unmakeable, [])) == []


def test_batches_are_read_as_workers_become_free(engine: Engine) -> None:
    read = []

    def batches() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    found = engine.map(ray_workers.squares, batches())
    assert [next(found)[0] for _ in range(3)] == [0, 1, 4]
    assert len(read) <= 3 + 3 * engine.workers
    found.close()


def test_a_mistake_of_the_user_is_told_as_it_is(engine: Engine) -> None:
    found = engine.map(ray_workers.failing, range(9))
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match=r"^row 3: no number$"):
        next(found)


def test_a_bug_keeps_its_name(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError, match="five"):
        list(engine.map(ray_workers.failing, [4, 5]))


def test_a_worker_that_cannot_be_made_says_why(engine: Engine) -> None:
    with pytest.raises(InputError, match=r"^no/such/model: no such folder$"):
        list(engine.map(ray_workers.unmakeable, [1]))


@pytest.mark.slow
def test_a_worker_that_fits_on_no_node_is_not_waited_for_without_end(
    cluster: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossforge_train.compute import ray as module

    monkeypatch.setattr(module, "_PLACE", 3)
    with pytest.raises(
        InputError, match=r"in 0\.05 minutes; each takes 0\.5 CPUs and 1 GPUs of one node, .* and 0 GPUs"
    ):
        list(module.RayEngine(2, gpus=1).map(ray_workers.squares, range(4)))


@pytest.mark.slow
def test_a_worker_that_works_is_waited_for(cluster: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossforge_train.compute import ray as module

    new = module.RayEngine(1)
    try:
        list(new.map(ray_workers.squares, [1]))  # it has a place, however long the machine takes to start it
        monkeypatch.setattr(module, "_PLACE", 3)
        assert list(new.map(ray_workers.sleeping, [8.0])) == [8.0]
    finally:
        new.close()


@pytest.mark.parametrize("placed", [False, True])
def test_the_wait_for_a_place_ends_unless_a_worker_has_one(monkeypatch: pytest.MonkeyPatch, placed: bool) -> None:
    pytest.importorskip("ray")
    from crossforge_train.compute import ray as module

    waited: list[float] = []

    def wait(references: list[str], timeout: float) -> tuple[list[str], list[str]]:
        """No result is ever there; the first actor's place may be."""
        waited.append(timeout)
        if len(waited) > 6:
            raise TimeoutError("still waiting")
        return [one for one in references if placed and one == "place 1"], []

    numbers = iter(range(1, 9))

    def actor(_threads: int, gpus: int) -> SimpleNamespace:
        assert gpus == 1
        number = next(numbers)
        answers = {"work": lambda *_: f"result {number}", "has_place": lambda: f"place {number}"}
        return SimpleNamespace(**{name: SimpleNamespace(remote=answer) for name, answer in answers.items()})

    fake = SimpleNamespace(
        wait=wait, get=lambda _: None, put=lambda content: content, is_initialized=lambda: False,
        cloudpickle=module.ray.cloudpickle,
        remote=lambda _: SimpleNamespace(options=lambda **_: SimpleNamespace(remote=actor)),
        cluster_resources=lambda: {"CPU": 8.0, "GPU": 2.0}, available_resources=lambda: {"CPU": 3.5},
    )  # fmt: skip
    monkeypatch.setattr(module, "ray", fake)
    found = module.RayEngine(2, gpus=1).map(ray_workers.squares, range(4))
    if placed:
        with pytest.raises(TimeoutError, match="still waiting"):
            list(found)
        return
    with pytest.raises(InputError) as told:
        list(found)
    assert str(told.value) == (
        "compute.engine: Ray gave no worker a place in 10 minutes; each takes 0.5 CPUs and 1 GPUs of one node, and the "
        "cluster has 8 CPUs and 2 GPUs, 3.5 CPUs and 0 GPUs of them free; end what else runs there, or see "
        "compute.gpus_per_worker"
    )


@dataclass(eq=False)
class FakeAnswer:
    """What an actor says, if it ever does."""

    comes: bool
    says: object = None


class FakeRay:
    """A cluster whose actors answer at once if they have a place.

    Args:
        places: how many actors get one.
        losses: how many batches lose their actor, whose place is lost with it.
        fails: what raises `failure`: `put`, `work` or `get`; the latter as what a worker raised.
    """

    def __init__(self, places: int, losses: int = 0, fails: str = "", failure: Exception | None = None) -> None:
        from crossforge_train.compute import ray as module

        self.places, self.losses = places, losses
        self.fails, self.failure = fails, failure
        self.cloudpickle, self.lost = module.ray.cloudpickle, module.RayActorError
        self.cluster_resources = self.available_resources = dict

    def put(self, content: bytes) -> bytes:
        self._fail("put")
        return content

    def _fail(self, call: str) -> None:
        if self.failure and call == self.fails:
            raise self.failure

    def _work(self, placed: bool, batch: object) -> FakeAnswer:
        self._fail("work")
        return FakeAnswer(placed, batch)

    def is_initialized(self) -> bool:
        return False

    def kill(self, _: object) -> None:
        pass

    def remote(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._actor))

    def _actor(self, *_: object) -> SimpleNamespace:
        placed = self.places > 0
        self.places -= placed
        return SimpleNamespace(
            has_place=SimpleNamespace(remote=lambda: FakeAnswer(placed)),
            work=SimpleNamespace(remote=lambda *asked: self._work(placed, asked[-1])),
        )

    def wait(self, answers: list[FakeAnswer], timeout: float) -> tuple[list[FakeAnswer], list[FakeAnswer]]:
        return [one for one in answers if one.comes][:1], []

    def get(self, answer: FakeAnswer) -> object:
        if answer.says is None:
            return None
        self._fail("get")
        if self.losses:
            self.losses -= 1
            raise self.lost
        return answer.says


@pytest.mark.parametrize(("places", "losses"), [(1, 0), (2, 1)])
def test_whoever_has_a_place_does_the_work_of_those_without(
    monkeypatch: pytest.MonkeyPatch, places: int, losses: int
) -> None:
    module = pytest.importorskip("crossforge_train.compute.ray")
    monkeypatch.setattr(module, "ray", FakeRay(places, losses))
    assert list(module.RayEngine(3).map(ray_workers.squares, range(20))) == list(range(20))


@pytest.mark.parametrize("error", ["ObjectStoreFullError", "OutOfDiskError"])
@pytest.mark.parametrize("call", ["put", "work", "get", "in a worker"])
def test_a_full_object_store_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, call: str, error: str) -> None:
    module = pytest.importorskip("crossforge_train.compute.ray")
    failure = getattr(module, error)("no room\nfor it")
    if call == "in a worker":
        call, failure = "get", module.RayTaskError("work", "a traceback", failure, "worker", 1, "10.0.0.1")
    monkeypatch.setattr(module, "ray", FakeRay(1, fails=call, failure=failure))
    with pytest.raises(InputError) as told:
        list(module.RayEngine(1).map(ray_workers.squares, range(3)))
    assert str(told.value) == (
        f"Ray's object store is full ({error}); start the cluster with more --object-store-memory, or with more free "
        "disk where Ray spills"
    )


@pytest.mark.parametrize("gpus", [0, 0.25, 1])
def test_an_actor_asks_for_its_share_of_a_gpu(monkeypatch: pytest.MonkeyPatch, gpus: float) -> None:
    pytest.importorskip("ray")
    from crossforge_train.compute import ray as module

    asked: list[tuple[float, float]] = []

    def options(num_gpus: float, **_: object) -> SimpleNamespace:
        def actor(_threads: int, told: float) -> SimpleNamespace:
            asked.append((num_gpus, told))
            return SimpleNamespace(
                work=SimpleNamespace(remote=lambda *_: "result"), has_place=SimpleNamespace(remote=lambda: "place")
            )

        return SimpleNamespace(remote=actor)

    fake = SimpleNamespace(
        wait=lambda references, timeout: (references[:1], []), put=lambda content: content, get=lambda found: found,
        is_initialized=lambda: False, cloudpickle=module.ray.cloudpickle,
        remote=lambda _: SimpleNamespace(options=options),
    )  # fmt: skip
    monkeypatch.setattr(module, "ray", fake)
    assert list(module.RayEngine(1, gpus=gpus).map(ray_workers.squares, [1])) == ["result"]
    assert asked == [(gpus, gpus)]


@pytest.mark.slow
def test_a_killed_workers_batch_is_done_again(cluster: Engine, tmp_path: Path) -> None:
    trace = tmp_path / "killed"
    assert list(cluster.map(ray_workers.KilledOnce(7, trace), range(20))) == list(range(20))
    assert trace.exists()


@pytest.mark.slow
def test_a_batch_that_ends_every_worker_ends_with_one_line(cluster: Engine) -> None:
    with pytest.raises(InputError, match=r"^batch 4 lost 4 workers in a row \(.*\); if memory ran out") as told:
        list(cluster.map(ray_workers.deadly, range(9)))
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_workers_stay_from_one_call_to_the_next(cluster: Engine) -> None:
    first, second = ({process for _, process in cluster.map(ray_workers.squares, range(9))} for _ in range(2))
    assert len(first | second) <= cluster.workers
    made = [set(cluster.map(ray_workers.made_once, range(9))) for _ in range(2)]
    assert len(made[0] | made[1]) <= cluster.workers
    list(cluster.map(ray_workers.sleeping, [0.5] * 9))  # each of them makes another
    assert not (made[0] | made[1]) & set(cluster.map(ray_workers.made_once, range(9)))


@pytest.mark.slow
def test_workers_share_the_processors(cluster: Engine) -> None:
    (found,) = set(cluster.map(ray_workers.thread_limit, range(4)))
    assert int(found) == max(1, (os.cpu_count() or 1) // 2)

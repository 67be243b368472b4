"""A run in a store: what one machine has finished, another takes over. Machines are folders of all runs here."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from object_stores import IN_A_FOLDER_AND_A_BUCKET
from support import Recorder, toy_config

from crossforge.errors import InputError
from crossforge.files import remove
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.object_store import Place, digests, open_place
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import kept_folders
from crossforge_train.stages.kept_folders import Kept
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.records import StageRecord, wanted_records
from crossforge_train.stages.runner import run_stages
from crossforge_train.stages.stage import Context, Stage

NAMES = ("one", "two", "three")


@dataclass
class Machine:
    """Runs three stages, each of which copies what the one before has written, and adds a line of its own."""

    runs: Path
    store: str | None
    inputs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 1))
    notes: Recorder = field(default_factory=Recorder)
    resumes: str = ""
    killed_after: int | None = None
    seen: list[str | None] = field(default_factory=list)

    @property
    def config(self) -> Config:
        return Config(name="run", runs=self.runs, store=self.store, collection={"builtin": "pydocs"})

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.config.folder)

    def go(self, until: str = "three", **options: Any) -> list[str]:
        """Run the stages; the names of those that ran."""
        self.notes = Recorder()
        run_stages(self.config, self.stages()[: NAMES.index(until) + 1], self.notes, **options)
        return self.notes.stages_that("started")

    def stages(self) -> list[Stage]:
        return [self._stage(number) for number in range(len(NAMES))]

    def lines(self, name: str) -> list[str]:
        return (self.run.stage(name) / "below" / "lines").read_text().split()

    def _stage(self, number: int) -> Stage:
        name = NAMES[number]

        def run(context: Context) -> None:
            before = self.lines(NAMES[number - 1]) if number else []
            if name == self.resumes:
                self._work(context)
            (context.folder / "below").mkdir()
            (context.folder / "below" / "lines").write_text("\n".join([*before, uuid.uuid4().hex]))
            (context.folder / f"{name}-{self.inputs[name]}").write_text("the same each time")

        return Stage(name, lambda _: {"input": self.inputs[name]}, run, resumes=name == self.resumes, begun=_begun)

    def _work(self, context: Context) -> None:
        """Three steps, each with a checkpoint that replaces the one before; it may be killed after one of them."""
        constant, checkpoints = context.folder / "constant", context.folder / "checkpoint"
        left = [path.name for path in checkpoints.glob("*")]
        self.seen.append(left[0] if left else None)
        constant.write_text("the same each time")
        (context.folder / "log").write_text(uuid.uuid4().hex)
        if self.killed_after == 0:
            raise KeyboardInterrupt
        for step in range(int(left[0]) + 1 if left else 1, 4):
            remove(checkpoints)
            checkpoints.mkdir()
            (checkpoints / str(step)).write_text(f"{step}")
            context.keep([constant, checkpoints])
            if step == self.killed_after:
                raise KeyboardInterrupt
        remove(checkpoints)


def _begun(folder: Path) -> bool:
    return any((folder / "checkpoint").glob("*"))


Machines = Callable[..., Machine]


@pytest.fixture
def machine(tmp_path: Path, store: str) -> Machines:
    """Makes machines with one store."""
    return lambda name, **options: Machine(tmp_path / name, **{"store": store, **options})


def in_store(machine: Machine, name: str) -> Any:
    return open_place(machine.store or "", "run").read_json(name)


def fail_in(monkeypatch: pytest.MonkeyPatch, method: str, when: Callable[[str], bool]) -> None:
    """From now on, a method of the store fails where this holds for what it is called with."""
    works = getattr(Place, method)

    def failing(place: Place, *arguments: Any) -> Any:
        if when(" ".join(map(str, arguments))):
            raise InputError("the store is gone")
        return works(place, *arguments)

    monkeypatch.setattr(Place, method, failing)


@IN_A_FOLDER_AND_A_BUCKET
def test_a_fresh_machine_takes_over_what_another_has_finished(machine: Machines) -> None:
    first, second = machine("first"), machine("second")
    assert first.go() == list(NAMES)
    assert second.go() == []
    assert second.notes.stages_that("skipped") == list(NAMES)
    assert digests(second.run.path) == {
        **digests(first.run.path),
        "stages/lock.json": digests(second.run.path)["stages/lock.json"],
    }


def test_a_machine_goes_on_where_another_was_ended(machine: Machines) -> None:
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    first.go("two")
    assert second.go() == ["three"]
    assert second.lines("three")[:2] == first.lines("two")
    assert third.go() == first.go() == []
    assert third.lines("three") == first.lines("three") == second.lines("three")


@IN_A_FOLDER_AND_A_BUCKET
def test_other_inputs_are_not_taken_and_replace_what_was_kept(machine: Machines) -> None:
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    first.go()
    second.inputs["two"] = third.inputs["two"] = 2
    assert second.go() == ["two", "three"]
    assert any("/run: holds two of other inputs (input), which this run will" in note for note in second.notes.notes)
    assert third.go() == []
    assert third.lines("three") == second.lines("three")
    assert open_place(third.store or "", "run").read_json("two/two-1") is None
    assert set(in_store(third, "stages/two.json")["files"]) == {"below/lines", "two-2"}
    assert first.go() == []  # its own are finished, and kept again
    assert machine("fourth").go() == []


def test_stages_are_not_fetched_where_they_are_to_be_repeated(machine: Machines) -> None:
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    first.go()
    assert second.go(fresh=True) == list(NAMES)
    assert third.go() == []
    assert third.lines("three") == second.lines("three") != first.lines("three")


@IN_A_FOLDER_AND_A_BUCKET
@pytest.mark.parametrize(
    ("method", "when"), [("send", lambda to: "/two two" in to), ("write_json", lambda to: "stages/two.json" in to)]
)
def test_a_copy_that_was_not_ended_is_not_taken_and_is_repaired(
    machine: Machines, monkeypatch: pytest.MonkeyPatch, method: str, when: Callable[[str], bool]
) -> None:
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    with monkeypatch.context() as patch:
        fail_in(patch, method, when)
        assert first.go() == list(NAMES)
    assert any("two is on this machine alone until the store can be used again" in note for note in first.notes.notes)
    assert second.go("one") == []
    assert in_store(second, "stages/two.json") is in_store(second, "stages/three.json") is None
    assert second.go("two") == ["two"]
    assert first.go() == []  # and keeps its own, which differ
    assert third.go() == []
    assert third.lines("three") == first.lines("three")


@pytest.mark.parametrize("left", [b"", b"something else"])
def test_a_file_that_is_not_what_was_kept_is_not_taken_and_is_repaired(
    machine: Machines, left: bytes, tmp_path: Path
) -> None:
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    first.go()
    place = open_place(first.store or "", "run")
    (tmp_path / "two-1").write_bytes(left)
    place.send(tmp_path, "two", ["two-1"], lambda: None)
    assert second.go() == ["two", "three"]
    assert any("run/two: incomplete, or changed meanwhile; two is not taken" in note for note in second.notes.notes)
    assert third.go() == []
    assert third.lines("three") == second.lines("three")


@IN_A_FOLDER_AND_A_BUCKET
def test_a_stage_that_resumes_goes_on_elsewhere(machine: Machines) -> None:
    first, second, third = (machine(name, resumes="two") for name in ("first", "second", "third"))
    first.killed_after = 1
    with pytest.raises(KeyboardInterrupt):
        first.go()
    assert second.go() == ["two", "three"]
    assert second.seen == ["1"]
    assert in_store(second, "stages/two.partial.json") is in_store(second, "two.partial/done") is None
    assert third.go() == []
    first.killed_after = None
    assert first.go() == []


@pytest.mark.parametrize(
    "change", [{"inputs": {"one": 1, "two": 2, "three": 1}}, {"inputs": {**dict.fromkeys(NAMES, 2)}}]
)
def test_what_is_kept_of_other_inputs_is_not_resumed(machine: Machines, change: dict[str, Any]) -> None:
    first, second = machine("first", resumes="two"), machine("second", resumes="two", **change)
    first.killed_after = 1
    with pytest.raises(KeyboardInterrupt):
        first.go()
    second.go()
    assert second.seen == [None]


def test_a_later_checkpoint_replaces_an_earlier_one_of_which_only_what_is_new_is_copied(
    machine: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (machine(name, resumes="two") for name in ("first", "second"))
    sent: list[str] = []
    fail_in(monkeypatch, "send", lambda to: sent.append(to) or False)  # type: ignore[func-returns-value]
    first.killed_after = 3
    with pytest.raises(KeyboardInterrupt):
        first.go()
    assert sorted(in_store(first, "stages/two.partial.json")["files"]) == ["checkpoint/3", "constant"]
    assert len([to for to in sent if "'constant'" in to]) == 1
    assert second.go("two") == ["two"]
    assert second.seen == ["3"]


def test_a_run_that_begins_anew_does_not_resume(machine: Machines) -> None:
    first, second = (machine(name, resumes="two") for name in ("first", "second"))
    first.killed_after = 1
    with pytest.raises(KeyboardInterrupt):
        first.go()
    second.go(fresh=True)
    assert second.seen == [None]


def test_a_machine_without_a_checkpoint_of_its_own_takes_the_other_s(machine: Machines) -> None:
    first, second = (machine(name, resumes="two") for name in ("first", "second"))
    for one, step in ((first, 0), (first, 0), (second, 2)):
        one.killed_after = step
        with pytest.raises(KeyboardInterrupt):
            one.go()
    first.killed_after = None
    assert first.go() == ["two", "three"]
    assert first.seen == [None, None, "2"]


def test_a_machine_with_a_checkpoint_of_its_own_takes_no_other(machine: Machines) -> None:
    first, second = (machine(name, resumes="two") for name in ("first", "second"))
    for one, step in ((first, 1), (second, 2)):
        one.killed_after = step
        with pytest.raises(KeyboardInterrupt):
            one.go()
    first.killed_after = None
    first.go()
    assert (first.seen, second.seen) == ([None, "1"], ["1"])


@pytest.mark.parametrize("damaged", [True, False])
def test_what_cannot_be_fetched_costs_no_checkpoint_of_this_machine(
    machine: Machines, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    first, second = (machine(name, resumes="two") for name in ("first", "second"))
    first.killed_after = 1
    with pytest.raises(KeyboardInterrupt):
        first.go()
    second.go()
    first.killed_after = None
    if damaged:
        (Path(str(first.store).removeprefix("file://")) / "run" / "two" / "two-1").write_text("damaged")
    else:
        with monkeypatch.context() as patch:
            fail_in(patch, "fetch", lambda _: True)
            with pytest.raises(InputError, match="the store is gone"):
                first.go()
        first.store = None
    assert first.go() == ["two", "three"]
    assert first.seen[1:] == ["1"]


def test_files_of_this_machine_that_cannot_be_read_cost_a_line(
    machine: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machine("first")

    def locked(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied", "two-1")

    monkeypatch.setattr(kept_folders, "digests", locked)
    assert first.go() == list(NAMES)
    assert all(note.startswith("[Errno 13] Permission denied: 'two-1'; ") for note in first.notes.notes)


@pytest.mark.parametrize("store", ["file://{runs}", "file://{runs}/run/kept", "file://{runs}/../.."])
def test_the_run_s_own_folder_is_no_store(tmp_path: Path, store: str) -> None:
    runs = tmp_path / "run" / "runs"
    alone = Machine(runs, None)
    alone.go()
    before = digests(alone.run.path)
    with pytest.raises(InputError, match=r"overlaps with .*, the run itself; name another store$"):
        Machine(runs, store.format(runs=runs)).go()
    assert digests(alone.run.path) == before


def test_no_stage_is_taken_with_another_result_before_it(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    with monkeypatch.context() as patch:
        fail_in(patch, "send", lambda to: "/two two" in to)
        first.go("two")
    second.go()
    assert first.go() == ["three"]  # the second machine's is of its own "two"
    assert first.lines("three")[:2] == first.lines("two") != second.lines("two")
    assert third.go() == []
    assert third.lines("three") == first.lines("three")


def test_a_store_that_is_gone_costs_a_line_for_each_stage_and_gets_them_the_next_time(
    machine: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = machine("first"), machine("second")
    with monkeypatch.context() as patch:
        fail_in(patch, "send", lambda to: "/one one" not in to)
        first.go()
    alone = "the store is gone; {} is on this machine alone until the store can be used again"
    assert first.notes.notes == [alone.format("two"), alone.format("three")]
    assert second.go("one") == first.go() == []
    assert second.go() == []


def test_a_store_that_works_again_gets_what_it_missed(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    first, gone = machine("first"), iter([True])
    with monkeypatch.context() as patch:
        fail_in(patch, "send", lambda to: "/two two" in to and next(gone, False))
        first.go()
    assert len(first.notes.notes) == 1
    assert machine("second").go() == []


def test_what_an_earlier_version_has_kept_is_what_it_was() -> None:
    record = StageRecord("fingerprint", {"input": 1}, finished=True, seconds=1.5, made="drawn")
    expected = "1bd0f4a8eb17888b243e57805fa29418a2109cbea44a0738c697a7f10b7d0a13"
    assert Kept(record, {"one-1": "sha256"}, "").identity == expected


def test_what_is_kept_is_not_copied_again(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    first = machine("first")
    first.go()
    fail_in(monkeypatch, "send", lambda _: True)
    assert first.go() == machine("second").go() == []
    assert not first.notes.notes


@IN_A_FOLDER_AND_A_BUCKET
def test_a_place_that_holds_something_else_is_refused(machine: Machines) -> None:
    first = machine("first")
    open_place(first.store or "", "run").write_json("thesis.json", "precious")
    with pytest.raises(InputError, match=r"/run: holds something other than a crossforge run; choose another name or"):
        first.go()
    assert in_store(first, "run.json") is None


def test_a_marker_that_was_half_written_is_written_again(tmp_path: Path) -> None:
    first = Machine(tmp_path / "first", f"file://{tmp_path}/store")
    (tmp_path / "store" / "run").mkdir(parents=True)
    (tmp_path / "store" / "run" / "run.json").write_text("")
    assert first.go() == list(NAMES)


def test_a_store_that_cannot_be_reached_ends_the_run_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    first = Machine(tmp_path, "s3://bucket/folder?scheme=http&endpoint_override=127.0.0.1:9")
    with pytest.raises(InputError, match=r"^s3://bucket/folder/run: .*Could not connect to server.*leave out `store`$"):
        first.go()
    assert first.notes.stages == []


def test_nothing_depends_on_the_store(tmp_path: Path) -> None:
    without, having = Machine(tmp_path, None), Machine(tmp_path, f"file://{tmp_path}/store")
    assert wanted_records(without.config, without.stages()) == wanted_records(having.config, having.stages())


def test_a_run_on_a_collection_is_the_same_on_the_other_machine(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    def config(machine: str) -> Config:
        (tmp_path / machine).mkdir()
        return load_config(
            toy_config(tmp_path / machine, toy_collection, tiny_encoder, store=f"file://{tmp_path}/store")
        )

    first, second, notes = config("first"), config("second"), Recorder()
    run_stages(first, stages_until(first, "mine"), Recorder())
    run_stages(second, stages_until(second, "mine"), notes)
    assert notes.stages_that("skipped") == ["collect", "mine"]
    for stage in ("collect", "mine"):
        assert digests(second.folder / stage) == digests(first.folder / stage)
    assert len(list(RunFolder(second.folder).mined.groups())) > 20
    plain = first.model_copy(update={"store": None})
    assert wanted_records(plain, stages_until(plain, "package")) == wanted_records(
        first, stages_until(first, "package")
    )
    shutil.rmtree(tmp_path / "store")

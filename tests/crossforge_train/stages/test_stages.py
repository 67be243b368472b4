"""Stages and their fingerprints, with stages that do next to nothing."""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support import Recorder

from crossforge.errors import InputError
from crossforge_train.config.run import Config
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.records import read_record
from crossforge_train.stages.runner import reuse, run_stages
from crossforge_train.stages.stage import Context, Stage, require_free_space


class Fakes:
    """Three stages: each counts its runs and writes its number; inputs and behaviour can be changed."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(name="fake", runs=folder, collection={"builtin": "pydocs"})
        self.inputs = {"one": 1, "two": 1, "three": 1}
        self.ran: list[str] = []
        self.seen: dict[str, list[str]] = {}
        self.before_writing: dict[str, Callable[[], None]] = {}

    def stages(self, resumes: bool = False) -> list[Stage]:
        return [self._stage(name, resumes) for name in self.inputs]

    def _stage(self, name: str, resumes: bool) -> Stage:
        def run(context: Context) -> None:
            self.ran.append(name)
            self.seen[name] = sorted(path.name for path in context.folder.iterdir())
            (context.folder / "half").write_text("half")
            self.before_writing.get(name, lambda: None)()
            (context.folder / "result").write_text(f"{self.inputs[name]}")

        return Stage(name, lambda _: {"input": self.inputs[name]}, run, resumes)

    def go(self, count: int = 3, **options: bool) -> list[str]:
        """Run the first of them, or all three; the names of those that ran."""
        self.ran = []
        resumes = options.pop("resumes", False)
        run_stages(self.config, self.stages(resumes)[:count], SilentReporter(), **options)
        return self.ran

    def fail_in(self, name: str, error: type[BaseException] = RuntimeError) -> None:
        def raising() -> None:
            raise error

        self.before_writing = {name: raising}

    def result(self, name: str) -> str:
        return (self.config.folder / name / "result").read_text()


def finished(fakes: Fakes, name: str) -> bool:
    record = read_record(RunFolder(fakes.config.folder), name)
    return record is not None and record.finished


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path)


def test_stages_run_in_order_and_leave_finished_records(fakes: Fakes) -> None:
    assert fakes.go() == ["one", "two", "three"]
    for name in fakes.inputs:
        assert fakes.result(name) == "1"
        assert finished(fakes, name)
        assert not (fakes.config.folder / f"{name}.partial").exists()


def test_finished_stages_are_skipped_and_said_to_be(fakes: Fakes) -> None:
    fakes.go()
    reporter = Recorder()
    run_stages(fakes.config, fakes.stages(), reporter)
    assert reporter.stages == [("skipped", "one"), ("skipped", "two"), ("skipped", "three")]


def test_a_changed_input_runs_its_stage_and_all_later_ones_again(fakes: Fakes) -> None:
    fakes.go()
    fakes.inputs["two"] = 2
    assert fakes.go() == ["two", "three"]
    assert fakes.result("two") == "2"
    assert fakes.go() == []


def test_a_result_that_was_deleted_is_made_again(fakes: Fakes) -> None:
    fakes.go()
    shutil.rmtree(fakes.config.folder / "three")
    assert fakes.go() == ["three"]


def test_what_follows_a_deleted_result_is_made_again_too_and_checked_before(fakes: Fakes) -> None:
    fakes.go()
    shutil.rmtree(fakes.config.folder / "two")
    checked: list[str] = []
    stages = [replace(stage, check=lambda _, name=stage.name: checked.append(name)) for stage in fakes.stages()]
    run_stages(fakes.config, stages, SilentReporter())
    assert checked == fakes.ran[3:] == ["two", "three"]


def test_what_follows_a_stage_that_was_repeated_alone_is_made_again(fakes: Fakes) -> None:
    fakes.go()
    assert fakes.go(2, fresh=True) == ["one", "two"]
    assert fakes.go() == ["three"]
    assert fakes.go() == []


def test_what_follows_a_stage_that_had_other_inputs_meanwhile_is_made_again(fakes: Fakes) -> None:
    fakes.go()
    fakes.inputs["two"] = 2
    assert fakes.go(2) == ["two"]
    fakes.inputs["two"] = 1
    assert fakes.go() == ["two", "three"]


def of_an_earlier_version(config: Config) -> None:
    """Leave out of the records what earlier versions did not write."""
    for path in (config.folder / "stages").glob("*.json"):
        record = json.loads(path.read_text())
        record.pop("made_from", None)
        path.write_text(json.dumps(record))


def test_stages_of_an_earlier_version_are_finished_until_one_before_them_is_made_again(fakes: Fakes) -> None:
    fakes.go()
    of_an_earlier_version(fakes.config)
    assert fakes.go() == []
    shutil.rmtree(fakes.config.folder / "two")
    assert fakes.go(2) == ["two"]
    assert fakes.go() == ["three"]


def test_what_an_earlier_version_left_unfinished_is_resumed(fakes: Fakes) -> None:
    interrupted(fakes, resumes=True)
    of_an_earlier_version(fakes.config)
    assert fakes.go(resumes=True) == ["two", "three"]
    assert fakes.seen["two"] == ["half"]


def test_another_run_s_stage_is_reused_only_with_the_results_that_it_was_made_from(tmp_path: Path) -> None:
    first, second = Fakes(tmp_path / "first"), Fakes(tmp_path / "second")
    first.go()
    reuse(second.config, second.stages(), [first.config.folder])
    assert second.go() == []
    assert second.go(1, fresh=True) == ["one"]
    reuse(second.config, second.stages(), [first.config.folder])
    assert second.go() == ["two", "three"]


def test_stages_are_checked_before_any_runs_unless_they_are_finished(fakes: Fakes) -> None:
    def refuse(config: Config) -> None:
        raise InputError("this cannot work")

    checked = [*fakes.stages()[:2], replace(fakes.stages()[2], check=refuse)]
    with pytest.raises(InputError, match="this cannot work"):
        run_stages(fakes.config, checked, SilentReporter())
    assert fakes.ran == []
    fakes.go()
    run_stages(fakes.config, checked, SilentReporter())


def test_fresh_runs_everything_again(fakes: Fakes) -> None:
    fakes.go()
    assert fakes.go(fresh=True) == ["one", "two", "three"]


@pytest.mark.parametrize("error", [RuntimeError, InputError, KeyboardInterrupt])
def test_a_stage_that_raises_leaves_the_former_result_and_is_not_finished(
    fakes: Fakes, error: type[BaseException]
) -> None:
    fakes.go()
    fakes.inputs["two"] = 2
    fakes.fail_in("two", error)
    with pytest.raises(error):
        fakes.go()
    assert fakes.result("two") == "1"
    assert not finished(fakes, "two")
    fakes.before_writing = {}
    assert fakes.go() == ["two", "three"]
    assert fakes.result("two") == "2"


def test_after_a_failure_even_the_former_inputs_are_not_taken_for_finished(fakes: Fakes) -> None:
    fakes.go()
    fakes.inputs["two"] = 2
    fakes.fail_in("two")
    with pytest.raises(RuntimeError):
        fakes.go()
    fakes.inputs["two"], fakes.before_writing = 1, {}
    assert fakes.go()[0] == "two"


def interrupted(fakes: Fakes, resumes: bool) -> None:
    fakes.fail_in("two", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fakes.go(resumes=resumes)
    fakes.before_writing = {}


def test_a_stage_that_resumes_finds_what_the_killed_attempt_left(fakes: Fakes) -> None:
    interrupted(fakes, resumes=True)
    assert fakes.go(resumes=True) == ["two", "three"]
    assert fakes.seen["two"] == ["half"]


def test_a_stage_that_does_not_resume_starts_from_an_empty_folder(fakes: Fakes) -> None:
    interrupted(fakes, resumes=False)
    fakes.go()
    assert fakes.seen["two"] == []


def test_what_was_left_for_other_inputs_is_not_resumed(fakes: Fakes) -> None:
    interrupted(fakes, resumes=True)
    fakes.inputs["two"] = 2
    fakes.go(resumes=True)
    assert fakes.seen["two"] == []


def test_a_change_in_an_earlier_stage_forbids_resuming_too(fakes: Fakes) -> None:
    interrupted(fakes, resumes=True)
    fakes.inputs["one"] = 2
    fakes.go(resumes=True)
    assert fakes.seen["two"] == []


def test_what_was_left_is_not_resumed_once_an_earlier_stage_was_made_again(fakes: Fakes) -> None:
    interrupted(fakes, resumes=True)
    fakes.go(1, fresh=True)
    fakes.go(resumes=True)
    assert fakes.seen["two"] == []


def test_fresh_does_not_resume(fakes: Fakes) -> None:
    interrupted(fakes, resumes=True)
    fakes.go(resumes=True, fresh=True)
    assert fakes.seen["two"] == []


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(fakes: Fakes) -> None:
    fakes.config.folder.mkdir()
    (fakes.config.folder / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="something other than a crossforge run; choose another name"):
        fakes.go()
    assert [path.name for path in fakes.config.folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("marker", [{"kind": "other"}, ["crossforge-run"]])
def test_a_folder_with_a_foreign_run_file_is_refused(fakes: Fakes, marker: object) -> None:
    fakes.config.folder.mkdir()
    (fakes.config.folder / "run.json").write_text(json.dumps(marker))
    with pytest.raises(InputError, match="something other than a crossforge run; choose another name"):
        fakes.go()


def test_a_file_in_place_of_the_folder_is_refused(fakes: Fakes) -> None:
    fakes.config.folder.write_text("")
    with pytest.raises(InputError, match="is a file"):
        fakes.go()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_that_cannot_be_written_is_told(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, fresh: bool) -> None:
    if not fresh:
        fakes.go()

    def read_only(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", path)

    monkeypatch.setattr(
        "crossforge_train.run_folder.write_json" if fresh else "crossforge_train.run_lock.write_json", read_only
    )
    with pytest.raises(InputError, match=r"fake: cannot be written \(read-only file system\); choose another runs"):
        fakes.go()


def test_runs_that_are_a_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="runs: is a file"):
        Fakes(tmp_path / "runs").go()


def test_an_empty_folder_may_be_used(fakes: Fakes) -> None:
    fakes.config.folder.mkdir()
    assert fakes.go() == ["one", "two", "three"]


HOLDER = """
import sys
from pathlib import Path
from crossforge_train.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).taken():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that works in a run's folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_that_another_process_works_on_is_refused_and_left_alone(fakes: Fakes) -> None:
    fakes.go()
    before = {path: path.read_bytes() for path in fakes.config.folder.rglob("*") if path.is_file()}
    with held_elsewhere(fakes.config.folder) as process:
        whose = f"process {process.pid} on {socket.gethostname()} is working in it; wait for it, or choose another name"
        for attempt in (fakes.go, lambda: reuse(fakes.config, fakes.stages(), [])):
            with pytest.raises(InputError, match=f"^{re.escape(f'{fakes.config.folder}: {whose}')}$"):
                attempt()
    assert before.keys() == {path for path in fakes.config.folder.rglob("*") if path.is_file()}
    assert fakes.go(fresh=True) == ["one", "two", "three"]  # a killed process holds nothing


def test_another_thread_is_refused_too_and_the_run_is_free_afterwards(fakes: Fakes) -> None:
    refused: list[BaseException] = []

    def in_another_thread() -> None:
        def attempt() -> None:
            try:
                run_stages(fakes.config, fakes.stages()[:1], SilentReporter(), fresh=True)
            except InputError as error:
                refused.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    fakes.before_writing = {"two": in_another_thread}
    assert fakes.go() == ["one", "two", "three"]
    assert f"process {os.getpid()} on" in str(refused[0])
    fakes.fail_in("two")
    with pytest.raises(RuntimeError):
        fakes.go(fresh=True)
    fakes.before_writing = {}
    assert fakes.go() == ["two", "three"]


def test_a_stage_whose_folder_was_replaced_underneath_is_not_finished(fakes: Fakes) -> None:
    partial = fakes.config.folder / "two.partial"

    def replace_it() -> None:
        shutil.rmtree(partial)
        partial.mkdir()

    fakes.before_writing = {"two": replace_it}
    with pytest.raises(InputError, match=r"two\.partial: deleted or replaced .* run the same command again"):
        fakes.go()
    assert not finished(fakes, "two")
    assert not (fakes.config.folder / "two").exists()
    fakes.before_writing = {}
    assert fakes.go() == ["two", "three"]


def test_too_little_space_names_folder_and_need(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs about 1000000000\.0 GB"):
        require_free_space(tmp_path / "new", 10**18, "fine-tuning")
    require_free_space(tmp_path / "new", 1, "fine-tuning")


def test_little_space_is_told_in_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 2_500_000))
    with pytest.raises(InputError, match=r"2\.5 MB free, but fine-tuning needs about 40\.0 MB"):
        require_free_space(tmp_path, 40_000_000, "fine-tuning")


@pytest.mark.parametrize("name", ["runs", "runs/fake"])
def test_a_file_in_the_way_of_a_run_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    with pytest.raises(InputError, match=f"{path}: is a file; choose another name or another runs folder"):
        RunFolder(tmp_path / "runs" / "fake").claim()

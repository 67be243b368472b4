"""Keeps the finished stages of a run in a store, and fetches them from there onto a machine that lacks them.

What is kept of a stage names what was kept of the stage before. So a stage is taken only with the very files that it
was made from, and not with what another machine made of the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from crossforge.errors import InputError, first_line
from crossforge.files import remove
from crossforge_train.config.run import Config
from crossforge_train.object_store import open_place
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.kept_folders import Kept, KeptFolders
from crossforge_train.stages.records import Wanted, is_finished, read_record, write_record
from crossforge_train.stages.stage import Stage

Found = TypeVar("Found")
_HERE_ALONE = "is on this machine alone until the store can be used again"


class RunStore:
    """The store of a run. Only the main process calls it; without a store in the config, it does nothing.

    Args:
        config: config of the run.
        reporter: shows progress.
    """

    def __init__(self, config: Config, reporter: Reporter) -> None:
        self._config, self._run, self._reporter = config, RunFolder(config.folder), reporter
        self._folders: KeptFolders | None = None
        self._before = ""  # identity of what is kept of the last stage
        self._waiting: list[Stage] = []  # finished, and not kept yet

    def open(self) -> None:
        """Find out whether the store can be used.

        Raises:
            InputError: it cannot, the run's place in it holds something else, or it is the run's own folder.
        """
        if self._config.store is not None:
            place = open_place(self._config.store, self._config.name)
            if place.overlaps(self._run.path):
                raise InputError(f"{place.uri}: overlaps with {self._run.path}, the run itself; name another store")
            folders = KeptFolders(self._run, place, self._reporter)
            folders.claim()
            self._folders = folders

    def fetch(self, stages: Sequence[Stage], records: Sequence[Wanted]) -> None:
        """Fetch the stages that are kept, finished for the same inputs, and not finished on this machine.

        It ends at the first stage of which nothing that fits is kept, or this machine has another result.

        Raises:
            InputError: the store cannot be used.
        """
        folders, before = self._folders, ""
        if folders is None:
            return
        for stage, wanted in zip(stages, records, strict=True):
            kept = folders.kept(stage.name)
            if kept is None:
                return
            if not wanted.fits(kept.record):
                self._reporter.note(_of_other_inputs(stage.name, folders.place.uri, kept, wanted))
                return
            if kept.before != before or not self._has(folders, stage.name, wanted, kept):
                return
            before = kept.identity

    def keep(self, stage: Stage) -> None:
        """Copy a finished stage into the store, unless it is there; called for the stages in their order."""
        self._waiting.append(stage)
        self._try(self._catch_up, f"{stage.name} {_HERE_ALONE}")

    def keep_unfinished(self, stage: Stage, wanted: Wanted, paths: Iterable[Path]) -> None:
        """Copy the files from which a stage can resume into the store.

        Args:
            stage: the stage that is at work.
            wanted: its record.
            paths: files and folders in its working folder.
        """

        def copy(folders: KeptFolders) -> None:
            self._catch_up(folders)
            folders.send(self._unfinished(stage), wanted.record, self._before, list(paths))

        self._try(copy, f"the checkpoint of {stage.name} {_HERE_ALONE}")

    def fetch_unfinished(self, stage: Stage, wanted: Wanted) -> bool:
        """Fetch the files from which a stage can resume; False if none are kept for the same inputs."""
        name = self._unfinished(stage)

        def take(folders: KeptFolders) -> bool:
            self._catch_up(folders)
            kept = folders.kept(name)
            if kept is None or not wanted.fits(kept.record) or kept.before != self._before:
                return False
            return folders.take(name, kept)

        return bool(self._try(take, f"{stage.name} starts from its beginning"))

    def _has(self, folders: KeptFolders, stage: str, wanted: Wanted, kept: Kept) -> bool:
        """Whether this machine has what is kept of a stage, after fetching it where it has nothing that fits."""
        if is_finished(self._run, stage, wanted):
            return read_record(self._run, stage) == kept.record
        if not folders.take(stage, kept):
            return False
        remove(self._run.partial(stage))
        write_record(self._run, stage, kept.record)
        return True

    def _catch_up(self, folders: KeptFolders) -> None:
        """Copy what waits, in order: what is kept of a stage names what is kept of the stage before."""
        while self._waiting:
            stage = self._waiting[0]
            record, kept = read_record(self._run, stage.name), folders.kept(stage.name)
            if record and (kept is None or (kept.record, kept.before) != (record, self._before)):
                kept = folders.send(stage.name, record, self._before)
            if stage.resumes:
                folders.drop(self._unfinished(stage))
            self._before = kept.identity if kept else ""
            del self._waiting[0]

    def _unfinished(self, stage: Stage) -> str:
        """As what the working folder of a stage is kept."""
        return self._run.partial(stage.name).name

    def _try(self, work: Callable[[KeptFolders], Found], otherwise: str) -> Found | None:
        """What comes of work with the store; if it fails, only say so: what this machine has done stays."""
        try:
            return work(self._folders) if self._folders is not None else None
        except (InputError, OSError) as error:  # of the store, or of a file on this machine
            self._reporter.note(f"{first_line(error)}; {otherwise}")
            return None


def _of_other_inputs(stage: str, uri: str, kept: Kept, wanted: Wanted) -> str:
    theirs, ours = kept.record.depends_on, wanted.record.depends_on
    differing = sorted(key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key))
    return f"{uri}: holds {stage} of other inputs ({', '.join(differing)}), which this run will replace"

"""Folders of a run as a store keeps them, each with a record that is written last.

The store mirrors the run's folder: `STORE/NAME/STAGE/` and `STORE/NAME/stages/STAGE.json`. The record names the sha256
of every file, so that nothing is taken that is half-written, or mixed from the copies of two machines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import remove, written_atomically
from crossforge_train.object_store import IncompleteError, Place, digests
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import MARKER, RunFolder
from crossforge_train.stages.records import StageRecord


@dataclass(frozen=True)
class Kept:
    """The content of `STORE/NAME/stages/STAGE.json`.

    Attributes:
        record: the stage's record on the machine that made it.
        files: sha256 of each file, by its path in the folder.
        before: `identity` of what was kept of the stage before; empty for the first.
    """

    record: StageRecord
    files: Mapping[str, str]
    before: str

    @property
    def identity(self) -> str:
        """A hash of all this, which stays the same for what earlier versions have kept."""
        found = asdict(self)
        if self.record.made_from is None:
            del found["record"]["made_from"]
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class KeptFolders:
    """A run's folders in a store; every method raises `InputError` if the store cannot be used.

    Attributes:
        run: the run on this machine.
        place: its folder in the store.
        reporter: shows progress.
    """

    run: RunFolder
    place: Place
    reporter: Reporter

    def claim(self) -> None:
        """Mark the place as a run, which also shows whether it can be written.

        Raises:
            InputError: it cannot, or holds something other than a run.
        """
        marker = self._named(self.run.marker)
        found = self.place.read_json(marker)
        if found != MARKER and (found is not None or self.place.names() - {marker}):
            raise InputError(
                f"{self.place.uri}: holds something other than a crossforge run; choose another name or store"
            )
        self.place.write_json(marker, MARKER)

    def kept(self, name: str) -> Kept | None:
        """What is kept of a stage; None if that is nothing, or was not copied to its end."""
        found = self.place.read_json(self._record(name))
        try:
            return Kept(StageRecord(**found["record"]), found["files"], found["before"]) if found else None
        except (KeyError, TypeError):  # of a version that keeps something else
            return None

    def send(self, name: str, record: StageRecord, before: str, parts: Iterable[Path] | None = None) -> Kept:
        """Copy a stage's folder, or parts of it, except for files that are there, and delete there what it lacks."""
        folder, held = self.run.stage(name), self.kept(name)
        kept, had = Kept(record, digests(folder, parts), before), held.files if held else {}
        changed = [path for path, digest in kept.files.items() if had.get(path) != digest]
        if not had.keys().isdisjoint(changed):
            self.place.delete([self._record(name)])
        with self.reporter.bar(f"copying {name} to {self.place.uri}", len(changed)) as advance:
            self.place.send(folder, self._named(folder), changed, advance)
        self.place.write_json(self._record(name), asdict(kept))
        self._delete(name, had.keys() - kept.files.keys())
        return kept

    def take(self, name: str, kept: Kept) -> bool:
        """Copy a stage's folder from the store, first beside its own place; False if it is not intact there."""
        folder, title = self.run.stage(name), f"fetching {name} from {self.place.uri}"
        try:
            with (
                written_atomically(folder) as beside,
                self.reporter.bar(title, len(kept.files)) as advance,
            ):
                beside.mkdir()
                self.place.fetch(self._named(folder), beside, kept.files, advance)
                remove(self.run.record(name))  # a kill must not leave it beside what is fetched
        except IncompleteError as error:
            self.reporter.note(f"{error}; {name} is not taken")
            if self.kept(name) == kept:  # and not what another machine has copied meanwhile
                self.place.delete([self._record(name)])  # so that all its files are copied again
            return False
        return True

    def drop(self, name: str) -> None:
        """Delete what is kept of a stage."""
        if kept := self.kept(name):
            self.place.delete([self._record(name)])
            self._delete(name, kept.files)

    def _delete(self, name: str, paths: Iterable[str]) -> None:
        self.place.delete(f"{self._named(self.run.stage(name))}/{path}" for path in paths)

    def _record(self, name: str) -> str:
        return self._named(self.run.record(name))

    def _named(self, path: Path) -> str:
        """What a path of the run is called in the store."""
        return path.relative_to(self.run.path).as_posix()

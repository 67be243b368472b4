"""Keeps the finished stages of a run in a store, and fetches them from there onto a machine that lacks them.

What is kept of a stage names what was kept of the stage before. So a stage is taken only with the very files that it
was made from, and not with what another machine made of the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossforge.errors import InputError
from crossforge.files import remove
from crossforge_train.config.run import Config
from crossforge_train.object_store import open_place
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.kept_folders import Kept, KeptFolders
from crossforge_train.stages.records import Wanted, is_finished, read_record
from crossforge_train.stages.stage import Stage


class RunStore:
    """The store of a run. Only the main process calls it; without a store in the config, it does nothing.

    Args:
        config: config of the run.
        reporter: shows progress.
    """

    def __init__(self, config: Config, reporter: Reporter) -> None:
        self._config, self._run, self._reporter = config, RunFolder(config.folder), reporter
        self._folders: KeptFolders | None = None
        self._before = ""  # identity of what is kept of the stage before

    def open(self) -> None:
        """Find out whether the store can be used.

        Raises:
            InputError: it cannot, or the run's place in it holds something else.
        """
        if self._config.store is not None:
            folders = KeptFolders(self._run, open_place(self._config.store, self._config.name), self._reporter)
            folders.claim()
            self._folders = folders

    def fetch(self, stages: Sequence[Stage], records: Sequence[Wanted]) -> None:
        """Fetch the stages that are kept, finished for the same inputs, and not finished on this machine.

        It ends at the first stage of which nothing that fits is kept, or this machine has another result.

        Raises:
            InputError: the store cannot be used.
        """
        before = ""
        for stage, wanted in zip(stages, records, strict=True):
            kept = self._fitting(stage.name, wanted, before)
            if kept is None or self._folders is None:
                return
            if is_finished(self._run, stage.name, wanted):
                if read_record(self._run, stage.name) != kept.record:
                    return
            elif self._folders.take(stage.name, kept):
                remove(self._run.partial(stage.name))
            else:
                return
            before = kept.identity

    def keep(self, stage: str) -> None:
        """Copy a finished stage into the store, unless it is there; called for the stages in their order."""

        def copied(folders: KeptFolders) -> None:
            record, kept = read_record(self._run, stage), folders.kept(stage)
            if record and (kept is None or (kept.record, kept.before) != (record, self._before)):
                kept = folders.send(stage, record, self._before)
            self._before = kept.identity if kept else ""

        self._try(copied, f"{stage} is on this machine alone")

    def _fitting(self, name: str, wanted: Wanted, before: str) -> Kept | None:
        """What is kept of a stage, if it has the same inputs, and was made from what is kept of the stage before."""
        kept = self._folders.kept(name) if self._folders else None
        return kept if kept and wanted.fits(kept.record) and kept.before == before else None

    def _try(self, work: Callable[[KeptFolders], None], otherwise: str) -> None:
        """Work with the store; if that fails, say so and do without it, until the same command runs again."""
        if self._folders is None:
            return
        try:
            work(self._folders)
        except InputError as error:
            self._folders = None
            self._reporter.note(f"{error}; {otherwise}, until the same command runs again")

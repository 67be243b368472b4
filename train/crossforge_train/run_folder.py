"""`RunFolder`: access to every file of a run. Only it and `stage_folders` know the file names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import UNFINISHED, read_json, write_json
from crossforge.service.judgements import JUDGEMENTS_FILE, QUERIES_FILE, RUN_FILE
from crossforge_train.run_lock import held
from crossforge_train.stage_folders import (
    CollectedFolder,
    DevValuesFolder,
    EvaluatedFolder,
    FinetunedFolder,
    MinedFolder,
    PackageFolder,
    StudentFolder,
)

COLLECT, MINE, FINETUNE, EVALUATE, PACKAGE = "collect", "mine", "finetune", "evaluate", "package"
MINE_AGAIN, FINETUNE_AGAIN = "mine-2", "finetune-2"
TEACH = "teach"
DEV_VALUES = "dev-values"

MARKER = {"kind": "crossforge-run"}


def student_stage(layers: int) -> str:
    """The name of the stage that makes the student of so many layers."""
    return f"student-{layers}"


@dataclass(frozen=True)
class RunFolder:
    """A run, finished or not: the folders of its stages and the files next to them."""

    path: Path

    @cached_property
    def collected(self) -> CollectedFolder:
        """Documents, queries and judgements."""
        return CollectedFolder(self.stage(COLLECT))

    @cached_property
    def mined(self) -> MinedFolder:
        """First stage and training groups."""
        return MinedFolder(self.stage(MINE))

    @cached_property
    def mined_again(self) -> MinedFolder:
        """The groups of the second round."""
        return MinedFolder(self.stage(MINE_AGAIN))

    @cached_property
    def finetuned(self) -> FinetunedFolder:
        """The reranker of the first round."""
        return FinetunedFolder(self.stage(FINETUNE))

    @cached_property
    def finetuned_again(self) -> FinetunedFolder:
        """The reranker of the second round."""
        return FinetunedFolder(self.stage(FINETUNE_AGAIN))

    def last_finetuned(self, rounds: int) -> FinetunedFolder:
        """The reranker to evaluate and package, after this many rounds."""
        return self.finetuned if rounds == 1 else self.finetuned_again

    @cached_property
    def taught(self) -> MinedFolder:
        """The groups with the trained reranker's scores, for its students."""
        return MinedFolder(self.stage(TEACH))

    def student(self, layers: int) -> StudentFolder:
        """The student of so many layers."""
        return StudentFolder(self.stage(student_stage(layers)))

    def shipped(self, rounds: int, layers: int | None) -> FinetunedFolder:
        """The reranker that dev picked: the student of so many layers, or the trained reranker itself if None."""
        return self.last_finetuned(rounds) if layers is None else self.student(layers)

    @cached_property
    def evaluated(self) -> EvaluatedFolder:
        """The proof."""
        return EvaluatedFolder(self.stage(EVALUATE))

    @cached_property
    def dev_values(self) -> DevValuesFolder:
        """What was measured on dev, by query."""
        return DevValuesFolder(self.stage(DEV_VALUES))

    @cached_property
    def package(self) -> PackageFolder:
        """The reranker package."""
        return PackageFolder(self.stage(PACKAGE))

    def stage(self, name: str) -> Path:
        """The folder of a finished stage."""
        return self.path / name

    def partial(self, name: str) -> Path:
        """The working folder of an unfinished stage."""
        return self.path / f"{name}.partial"

    def record(self, name: str) -> Path:
        """The record file of a stage: its inputs, and whether it is finished."""
        return self.path / "stages" / f"{name}.json"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Claim the folder and hold its lock: as long as it lasts, no other process can take it.

        Raises:
            InputError: another process has taken it, the message names which; it cannot be written; or as for `claim`.
        """
        with ExitStack() as lock:
            try:
                self.claim()
                lock.enter_context(held(self.path / "stages" / "lock", self.path))
            except OSError as error:  # a read-only disk, a file in place of a folder
                reason = (error.strerror or type(error).__name__).lower()
                raise InputError(f"{self.path}: cannot be written ({reason}); choose another runs folder") from None
            yield

    @property
    def judgements(self) -> Path:
        """Judgements made by people; the next run uses them."""
        return self.path / JUDGEMENTS_FILE

    @property
    def typed_queries(self) -> Path:
        """Queries that people typed into the page of `crossforge serve`."""
        return self.path / QUERIES_FILE

    @property
    def judged(self) -> Path:
        """A collection of judged queries for documents that came without any; see `crossforge judge CORPUS`."""
        return self.path / "judged"

    @property
    def sweep(self) -> Path:
        """The runs of a sweep's trials."""
        return self.path / "sweep"

    @property
    def learning_curve(self) -> Path:
        """The runs that train on a share of the labels, and the curve over them."""
        return self.path / "learning-curve"

    @property
    def marker(self) -> Path:
        """The file that says that the folder is a run; it holds `MARKER`."""
        return self.path / RUN_FILE

    @property
    def is_run(self) -> bool:
        """Whether the folder is a run."""
        return self.marker.is_file() and read_json(self.marker) == MARKER

    def claim(self) -> None:
        """Mark a new or empty folder as a run; does nothing if it is one already.

        Raises:
            InputError: it is a file, or holds something other than a run.
        """
        if file := next((path for path in (self.path, *self.path.parents) if path.is_file()), None):
            raise InputError(f"{file}: is a file; choose another name or another runs folder")
        if not self.path.is_dir() or all(path.name.endswith(UNFINISHED) for path in self.path.iterdir()):
            write_json(self.marker, MARKER)
        elif not self.is_run:
            raise InputError(
                f"{self.path}: holds something other than a crossforge run; choose another name or runs folder"
            )

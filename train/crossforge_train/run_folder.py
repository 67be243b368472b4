"""`RunFolder`: access to every file of a run. No other module knows the file names.

The folder that a stage writes has the same layout as the one that later stages read, so each class serves both.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge.pipeline import FIRST_STAGE_FOLDER
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import load_retriever, save_retriever
from crossforge.retrievers.registry import LEXICAL
from crossforge.runs import Run, read_run, write_run
from crossforge.service.judgements import JUDGEMENTS_FILE, QUERIES_FILE, RUN_FILE
from crossforge_train.collections import storage
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.counts import Counts, read_counts, write_counts
from crossforge_train.evaluation.dev_values import DevValues, read_dev_values, write_dev_values
from crossforge_train.evaluation.outcome import Report
from crossforge_train.evaluation.split_report import Measured
from crossforge_train.first_stage import Choice
from crossforge_train.mining.groups import Group, stream_groups, write_groups
from crossforge_train.mining.report import MiningReport, read_mining_report, write_mining_report
from crossforge_train.models.shallower import Kept
from crossforge_train.report.files import PAGE_FILE, UNJUDGED, read_report, write_details, write_report
from crossforge_train.run_lock import held
from crossforge_train.training.history import History, read_history, write_history
from crossforge_train.training.task import WorkingFiles

COLLECT, MINE, FINETUNE, EVALUATE, PACKAGE = "collect", "mine", "finetune", "evaluate", "package"
MINE_AGAIN, FINETUNE_AGAIN = "mine-2", "finetune-2"
TEACH = "teach"
DEV_VALUES = "dev-values"

_MARKER = {"kind": "crossforge-run"}


def student_stage(layers: int) -> str:
    """The name of the stage that makes the student of so many layers."""
    return f"student-{layers}"


@dataclass(frozen=True)
class CollectedFolder:
    """Output of the stage `collect`."""

    path: Path

    def save(self, collection: Collection) -> None:
        """Write the collection with its final splits."""
        storage.save_collection(self._collection, collection)

    def collection(self) -> Collection:
        """Load the collection; document texts stay on disk until they are looked up."""
        return storage.load_collection(self._collection)

    @property
    def documents(self) -> Path:
        """The folder of the corpus in Arrow, for processes that read parts of it."""
        return self._collection

    def save_judged(self, collection: Collection) -> None:
        """Write queries and judgements again, and leave the documents as they are."""
        storage.save_judged(self._collection, collection)

    def save_counts(self, counts: Counts) -> None:
        """Write the collection's statistics."""
        write_counts(self._counts, counts)

    @property
    def counts(self) -> Counts:
        """Statistics of the collection."""
        return read_counts(self._counts)

    @property
    def _collection(self) -> Path:
        return self.path / "collection"

    @property
    def _counts(self) -> Path:
        return self.path / "counts.json"


@dataclass(frozen=True)
class MinedFolder:
    """Output of the stages `mine`, `mine-2` (neither index nor runs) and `teach` (groups alone)."""

    path: Path

    def save_retriever(self, retriever: StoredRetriever) -> None:
        """Write the first stage's index."""
        save_retriever(self.path, retriever)

    def retriever(self) -> StoredRetriever:
        """Load the first stage."""
        return load_retriever(self.path)

    @property
    def tuned_encoder(self) -> Path:
        """The base model as tuned on the training queries; there only if the first stage uses it."""
        return self.path / "tuned_encoder"

    @property
    def shards(self) -> Path:
        """Indexes by shards; there only while a stage works with them."""
        return self.path / "shards"

    def save_choice(self, choice: Choice) -> None:
        """Write which kind of first stage was chosen, and why."""
        write_json(self._choice, asdict(choice))

    @property
    def choice(self) -> Choice:
        """Which kind of first stage was chosen; versions before 0.2 knew only one."""
        return Choice(**read_json(self._choice)) if self._choice.is_file() else Choice(LEXICAL)

    def save_run(self, split: str, run: Run, tag: str) -> None:
        """Write the first-stage candidates of a split's queries."""
        write_run(self._run(split), run, tag)

    def run(self, split: str) -> Run:
        """The first-stage candidates of a split's queries."""
        return read_run(self._run(split))

    def save_groups(self, groups: Sequence[Group]) -> None:
        """Write the training groups."""
        write_groups(self._groups, groups)

    def groups(self) -> Iterator[Group]:
        """The training groups, one at a time."""
        return stream_groups(self._groups)

    def save_report(self, report: MiningReport) -> None:
        """Write the mining report."""
        write_mining_report(self._report, report)

    @property
    def report(self) -> MiningReport:
        """The mining report."""
        return read_mining_report(self._report)

    @property
    def suspects_file(self) -> Path:
        """A table of negatives that may be relevant, for `crossforge judge`."""
        return self.path / "suspects.tsv"

    def _run(self, split: str) -> Path:
        return self.path / f"run.{split}.trec"

    @property
    def _choice(self) -> Path:
        return self.path / "first_stage.json"

    @property
    def _groups(self) -> Path:
        return self.path / "groups.jsonl"

    @property
    def _report(self) -> Path:
        return self.path / "report.json"


@dataclass(frozen=True)
class FinetunedFolder:
    """Output of the stages `finetune` and `finetune-2`, and their working files while they run."""

    path: Path

    @property
    def model(self) -> Path:
        """The checkpoint, with its ONNX export."""
        return self.path / "model"

    @property
    def tensorboard(self) -> Path:
        """The folder for TensorBoard logs, if enabled."""
        return self.path / "tensorboard"

    @property
    def working_files(self) -> WorkingFiles:
        """The files from which a killed training resumes."""
        names = ("picked.json", "rows.arrow", "start", "checkpoints", "base")
        return WorkingFiles(*(self.path / name for name in names))

    def save_history(self, history: History) -> None:
        """Write the training history."""
        write_history(self._history, history)

    @property
    def history(self) -> History:
        """The training history."""
        return read_history(self._history)

    @property
    def _history(self) -> Path:
        return self.path / "history.json"


@dataclass(frozen=True)
class StudentFolder(FinetunedFolder):
    """Output of a stage such as `student-4`; without a model if the trained one has no more layers than that."""

    def save_kept(self, kept: Kept) -> None:
        """Write which layers stayed."""
        write_json(self._kept, asdict(kept))

    @property
    def kept(self) -> Kept:
        """Which layers of the trained model stayed."""
        return Kept(**read_json(self._kept))

    @property
    def _kept(self) -> Path:
        return self.path / "kept.json"


@dataclass(frozen=True)
class EvaluatedFolder:
    """Output of the stage `evaluate`."""

    path: Path

    def save_details(self, measured: Measured, collection: Collection) -> None:
        """Write one split's rankings, per-query values and likely unjudged positives."""
        write_details(self.path, measured, collection)

    def save_report(self, report: Report) -> None:
        """Write the report as JSON, as Markdown for the card, and as an HTML page."""
        write_report(self.path, report)

    @property
    def report(self) -> Report:
        """The evaluation report."""
        return read_report(self.path)

    @property
    def page(self) -> Path:
        """The report as an HTML page."""
        return self.path / PAGE_FILE

    def copy_publishable(self, target: Path) -> None:
        """Copy everything except the tables for judging, which quote whole documents."""
        shutil.copytree(self.path, target, ignore=shutil.ignore_patterns(f"{UNJUDGED}.*"))


@dataclass(frozen=True)
class DevValuesFolder:
    """Output of the stage `dev-values`, which `crossforge budget` adds to a run."""

    path: Path

    def save(self, values: DevValues) -> None:
        """Write what was measured on dev."""
        write_dev_values(self._file, values)

    @property
    def values(self) -> DevValues:
        """What was measured on dev."""
        return read_dev_values(self._file)

    @property
    def _file(self) -> Path:
        return self.path / "values.json"


@dataclass(frozen=True)
class PackageFolder:
    """The files of a reranker package that the toolkit writes."""

    path: Path

    @property
    def evaluation(self) -> EvaluatedFolder:
        """The published proof."""
        return EvaluatedFolder(self.path / "evaluation")

    @property
    def first_stage(self) -> Path:
        """Corpus and index, if the package includes them."""
        return self.path / FIRST_STAGE_FOLDER

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path / "README.md"


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
    def is_run(self) -> bool:
        """Whether the folder is a run."""
        return self._marker.is_file() and read_json(self._marker) == _MARKER

    def claim(self) -> None:
        """Mark a new or empty folder as a run; does nothing if it is one already.

        Raises:
            InputError: it is a file, or holds something other than a run.
        """
        if file := next((path for path in (self.path, *self.path.parents) if path.is_file()), None):
            raise InputError(f"{file}: is a file; choose another name or another runs folder")
        if not self.path.is_dir() or all(path.name.endswith(".writing") for path in self.path.iterdir()):
            write_json(self._marker, _MARKER)
        elif not self.is_run:
            raise InputError(
                f"{self.path}: holds something other than a crossforge run; choose another name or runs folder"
            )

    @property
    def _marker(self) -> Path:
        return self.path / RUN_FILE

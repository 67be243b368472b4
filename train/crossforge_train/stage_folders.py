"""The folders that the stages write, a class for each: no other module knows the names of the files in them.

The folder that a stage writes has the same layout as the one that later stages read, so each class serves both.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from crossforge.files import read_json, write_json
from crossforge.manifest import FIRST_STAGE_FOLDER
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import load_retriever, save_retriever
from crossforge.retrievers.registry import LEXICAL
from crossforge.runs import Run, read_run, write_run
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
from crossforge_train.training.history import History, read_history, write_history
from crossforge_train.training.task import WorkingFiles


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

    def save_groups(self, groups: Iterable[Group]) -> None:
        """Write the training groups, of which few are in memory at a time."""
        write_groups(self._groups, groups)

    def groups(self) -> Iterator[Group]:
        """The training groups, one at a time."""
        return stream_groups(self._groups if self._groups.is_dir() else self._groups_of_earlier_versions)

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
        return self.path / "groups"

    @property
    def _groups_of_earlier_versions(self) -> Path:
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
        names = ("picked.json", "dev_queries.json", "rows.arrow", "start", "checkpoints", "base")
        return WorkingFiles(*(self.path / name for name in names))

    @property
    def resumable(self) -> list[Path]:
        """All that a training that goes on elsewhere needs: what is here, but for the logs and the base model's files.

        These it finds there, and many are links here, also to folders, which a copy would miss.
        """
        left = (self.tensorboard, self.working_files.base)
        return [path for path in self.path.iterdir() if path not in left]

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

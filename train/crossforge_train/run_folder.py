"""`RunFolder`: every file of a run, by what it is. No other module knows the name of one.

A stage writes into a folder of the same form as the one that later stages read, so that each class here serves both.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge.pipeline import FIRST_STAGE_FOLDER
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import load_retriever, save_retriever
from crossforge.runs import Run, read_run, write_run
from crossforge.service.judgements import JUDGEMENTS_FILE, QUERIES_FILE, RUN_FILE
from crossforge_train.collections import storage
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.counts import Counts, read_counts, write_counts
from crossforge_train.evaluation.outcome import Report
from crossforge_train.evaluation.split_report import Measured
from crossforge_train.mining.groups import Group, stream_groups, write_groups
from crossforge_train.mining.report import MiningReport, read_mining_report, write_mining_report
from crossforge_train.report.files import PAGE_FILE, UNJUDGED, read_report, write_details, write_report
from crossforge_train.training.history import History, read_history, write_history
from crossforge_train.training.task import WorkingFiles

COLLECT, MINE, FINETUNE, EVALUATE, PACKAGE = "collect", "mine", "finetune", "evaluate", "package"
MINE_AGAIN, FINETUNE_AGAIN = "mine-2", "finetune-2"

_MARKER = {"kind": "crossforge-run"}


@dataclass(frozen=True)
class CollectedFolder:
    """What the stage `collect` leaves."""

    path: Path

    def save(self, collection: Collection) -> None:
        """Write the collection, its splits in place."""
        storage.save_collection(self._collection, collection)

    def collection(self) -> Collection:
        """The collection; texts of documents stay on disk until they are looked up."""
        return storage.load_collection(self._collection)

    def save_counts(self, counts: Counts) -> None:
        """Write what the collection holds."""
        write_counts(self._counts, counts)

    @property
    def counts(self) -> Counts:
        """What the collection holds."""
        return read_counts(self._counts)

    @property
    def _collection(self) -> Path:
        return self.path / "collection"

    @property
    def _counts(self) -> Path:
        return self.path / "counts.json"


@dataclass(frozen=True)
class MinedFolder:
    """What the stages `mine` and `mine-2` leave; the second one has neither an index nor runs."""

    path: Path

    def save_retriever(self, retriever: StoredRetriever) -> None:
        """Write the index."""
        save_retriever(self.path, retriever)

    def retriever(self) -> StoredRetriever:
        """The first stage."""
        return load_retriever(self.path)

    def save_run(self, split: str, run: Run, tag: str) -> None:
        """Write what the first stage found for a split."""
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
        """Write what was mined, in numbers."""
        write_mining_report(self._report, report)

    @property
    def report(self) -> MiningReport:
        """What was mined, in numbers."""
        return read_mining_report(self._report)

    @property
    def suspects_file(self) -> Path:
        """A table of negatives that may be relevant, for `crossforge judge`."""
        return self.path / "suspects.tsv"

    def _run(self, split: str) -> Path:
        return self.path / f"run.{split}.trec"

    @property
    def _groups(self) -> Path:
        return self.path / "groups.jsonl"

    @property
    def _report(self) -> Path:
        return self.path / "report.json"


@dataclass(frozen=True)
class FinetunedFolder:
    """What the stages `finetune` and `finetune-2` leave, and while they last their working files."""

    path: Path

    @property
    def model(self) -> Path:
        """The checkpoint, with its ONNX export."""
        return self.path / "model"

    @property
    def tensorboard(self) -> Path:
        """The folder that TensorBoard reads, if it was asked for."""
        return self.path / "tensorboard"

    @property
    def working_files(self) -> WorkingFiles:
        """What a training that is killed goes on from."""
        return WorkingFiles(
            self.path / "picked.json", self.path / "rows.arrow", self.path / "start", self.path / "checkpoints"
        )

    def save_history(self, history: History) -> None:
        """Write how the training went."""
        write_history(self._history, history)

    @property
    def history(self) -> History:
        """How the training went."""
        return read_history(self._history)

    @property
    def _history(self) -> Path:
        return self.path / "history.json"


@dataclass(frozen=True)
class EvaluatedFolder:
    """What the stage `evaluate` leaves."""

    path: Path

    def save_details(self, measured: Measured, collection: Collection) -> None:
        """Write one split's orders, values by query and likely unjudged positives."""
        write_details(self.path, measured, collection)

    def save_report(self, report: Report) -> None:
        """Write the report for machines, for the card and as a page."""
        write_report(self.path, report)

    @property
    def report(self) -> Report:
        """The report."""
        return read_report(self.path)

    @property
    def page(self) -> Path:
        """The report as one HTML page."""
        return self.path / PAGE_FILE

    def copy_publishable(self, target: Path) -> None:
        """Copy everything but what somebody should judge, which quotes whole documents."""
        shutil.copytree(self.path, target, ignore=shutil.ignore_patterns(f"{UNJUDGED}.*"))


@dataclass(frozen=True)
class PackageFolder:
    """A reranker package, as far as the toolkit writes it."""

    path: Path

    @property
    def evaluation(self) -> EvaluatedFolder:
        """The proof, as it is published."""
        return EvaluatedFolder(self.path / "evaluation")

    @property
    def first_stage(self) -> Path:
        """Corpus and index, if the package holds them."""
        return self.path / FIRST_STAGE_FOLDER

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path / "README.md"


@dataclass(frozen=True)
class RunFolder:
    """A run, finished or not: the folders of its stages, and what stands beside them."""

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
        """The reranker that is evaluated and packaged, after so many rounds."""
        return self.finetuned if rounds == 1 else self.finetuned_again

    @cached_property
    def evaluated(self) -> EvaluatedFolder:
        """The proof."""
        return EvaluatedFolder(self.stage(EVALUATE))

    @cached_property
    def package(self) -> PackageFolder:
        """The reranker package."""
        return PackageFolder(self.stage(PACKAGE))

    def stage(self, name: str) -> Path:
        """The folder of a finished stage."""
        return self.path / name

    def partial(self, name: str) -> Path:
        """The folder that a stage works in."""
        return self.path / f"{name}.partial"

    def record(self, name: str) -> Path:
        """What a stage was made from, and whether it is finished."""
        return self.path / "stages" / f"{name}.json"

    @property
    def judgements(self) -> Path:
        """What people judged by hand; the next run honours it."""
        return self.path / JUDGEMENTS_FILE

    @property
    def typed_queries(self) -> Path:
        """The queries that people typed on the page of `crossforge serve`."""
        return self.path / QUERIES_FILE

    @property
    def judged(self) -> Path:
        """A collection of queries that people judged for documents without any; see `crossforge judge CORPUS`."""
        return self.path / "judged"

    @property
    def sweep(self) -> Path:
        """The runs of a sweep's trials."""
        return self.path / "sweep"

    @property
    def is_run(self) -> bool:
        """Whether the folder is that of a run."""
        return self._marker.is_file() and read_json(self._marker) == _MARKER

    def claim(self) -> None:
        """Mark a new or empty folder as that of a run.

        Raises:
            InputError: it holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; choose another name or another runs folder")
        if not self.path.is_dir() or not any(self.path.iterdir()):
            write_json(self._marker, _MARKER)
        elif not self.is_run:
            raise InputError(
                f"{self.path}: holds something that is no crossforge run; choose another name or runs folder"
            )

    @property
    def _marker(self) -> Path:
        return self.path / RUN_FILE

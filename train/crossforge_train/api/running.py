"""`run`: a recipe from the collection to the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossforge.reranker import Reranker
from crossforge_train import processes
from crossforge_train.api.report import Report
from crossforge_train.config.loading import load_config as _read_config
from crossforge_train.config.loading import make_config
from crossforge_train.config.run import Config
from crossforge_train.reporting import Reporter, SilentReporter
from crossforge_train.run_folder import PACKAGE, RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages


@dataclass(frozen=True)
class Run:
    """A run that was carried out, as far as it was asked for.

    Attributes:
        config: its config.
        folder: every file of it, by what it is.
    """

    config: Config
    folder: RunFolder

    @property
    def report(self) -> Report:
        """The proof: whether the reranker is better than what is there without it.

        Raises:
            InputError: the run did not get as far as `evaluate`.
        """
        return Report.of(self.folder.evaluated.report)

    @property
    def package(self) -> Path:
        """The folder of the reranker package."""
        return self.folder.package.path

    def reranker(self) -> Reranker:
        """The packaged reranker.

        Raises:
            PackageError: the run did not get as far as `package`.
        """
        return Reranker(self.package)


def load_config(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Config:
    """Read a YAML config, or check one that was written in Python.

    Args:
        source: the file, or the sections by name.
        overrides: `section.key=value`, as `--set` takes them.

    Raises:
        InputError: the file is missing or malformed, or a key is unknown or holds a wrong value.

    >>> import crossforge_train as ct
    >>> config = ct.load_config({"name": "mine", "collection": {"beir": "path/to/folder"}}, ["training.epochs=2"])
    >>> config.training.epochs
    2.0
    """
    if isinstance(source, Mapping):
        return make_config(source, overrides)
    return _read_config(Path(source), overrides)


def run(config: Config, *, until: str = PACKAGE, fresh: bool = False, reporter: Reporter | None = None) -> Run:
    """Run a recipe: collect, mine, finetune, evaluate, package. What is done already is not done again.

    Args:
        config: from `load_config`.
        until: the last stage to run.
        fresh: do finished stages again.
        reporter: shows progress; nothing is shown by default.

    Raises:
        InputError: something in the config or the collection is wrong.
        RegressionError: the reranker is worse than what it would replace; its `report` says by how much. With
            `package.allow_regression` it is packaged all the same.

    >>> import crossforge_train as ct
    >>> config = ct.load_config("configs/quickstart.yaml", ["training.epochs=2"])
    >>> done = ct.run(config)  # doctest: +SKIP
    >>> done.report.verdict  # doctest: +SKIP
    'WIN'
    """
    run_stages(config, stages_until(config, until), reporter or SilentReporter(), fresh=fresh)
    processes.part()
    return Run(config, RunFolder(config.folder))

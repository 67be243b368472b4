"""`Stage`, one step of a run, and `Context`, its inputs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.run import Config
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import RunFolder


@dataclass(frozen=True)
class Context:
    """The inputs of a stage.

    Attributes:
        config: the whole config.
        reporter: shows progress.
        folder: output folder; on resume, it holds the killed attempt's files.
        engine: does what can be shared out, if the stage says that it `computes`.
        keep: called by the main process with files and folders in `folder` from which the stage could resume elsewhere.
    """

    config: Config
    reporter: Reporter
    folder: Path
    engine: Engine = field(default_factory=LocalEngine)
    keep: Callable[[Iterable[Path]], None] = lambda paths: None

    @cached_property
    def run(self) -> RunFolder:
        """The run, for the output of earlier stages."""
        return RunFolder(self.config.folder)


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: name of the stage and of its folder.
        depends_on: returns what the result depends on besides earlier stages: config values, data hashes, versions.
        run: does the work in `Context.folder`.
        resumes: whether it can resume from a killed attempt's files; if not, it starts with an empty folder.
        begun: whether a killed attempt's folder holds what it can resume from, so that a store need not be asked.
        computes: whether its work is shared out by the engine of the config.
        parallel: whether all processes share the work; if not, the main process does it alone.
        formerly: converts `depends_on` to what an earlier version recorded, if that differs, so that stages finished
            by that version still count as finished.
        check: raises `InputError` if the stage could not do its work; called before any stage runs.
    """

    name: str
    depends_on: Callable[[Config], Mapping[str, Any]]
    run: Callable[[Context], None]
    resumes: bool = False
    begun: Callable[[Path], bool] = _holds_something
    computes: bool = False
    parallel: bool = False
    formerly: Callable[[Config, Mapping[str, Any]], Mapping[str, Any]] | None = None
    check: Callable[[Config], None] = lambda config: None


def require_free_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise `InputError` if the disk of `folder` has less than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{folder}: {_size(free)} free, but {purpose} needs about {_size(needed)}; free some space")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"

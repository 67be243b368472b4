"""`Stage`, one step of a run, and `Context`, what it works with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge_train.config.run import Config
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import RunFolder


@dataclass(frozen=True)
class Context:
    """What a stage works with.

    Attributes:
        config: the whole config.
        reporter: shows progress.
        folder: where to write; on resume it holds what the killed attempt left.
    """

    config: Config
    reporter: Reporter
    folder: Path

    @cached_property
    def run(self) -> RunFolder:
        """The run, with what the stages before this one wrote."""
        return RunFolder(self.config.folder)


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: also its folder.
        depends_on: what its result depends on besides the stage before it: config values, data hashes, versions.
        run: does the work in `Context.folder`.
        resumes: whether it can go on from what a killed attempt left; otherwise it starts from an empty folder.
        parallel: whether all processes do the work together; the main one does the others alone.
        formerly: what an earlier version said that its result depends on, from what this one says, where that differs:
            what was finished then is finished now.
    """

    name: str
    depends_on: Callable[[Config], Mapping[str, Any]]
    run: Callable[[Context], None]
    resumes: bool = False
    parallel: bool = False
    formerly: Callable[[Config, Mapping[str, Any]], Mapping[str, Any]] | None = None


def require_free_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise `InputError` if the disk of `folder` has less than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {free / 1e9:.1f} GB free, {purpose} needs about {needed / 1e9:.1f} GB; free some space"
        )

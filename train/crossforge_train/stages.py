"""Stages and their fingerprints: what is done already, for the same inputs, is not done again.

A stage reads the folders of the stages before it and writes its own, `RUNS/NAME/STAGE/`. It works in
`STAGE.partial/` beside it and renames that when all of it is there, so a stage that was killed never looks finished.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, remove, write_json
from crossforge_train.config import Config
from crossforge_train.reporting import Reporter

STAGE_FILE = "stage.json"
RUN_FILE = "run.json"
_RUN_KIND = "crossforge-run"


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

    def stage(self, name: str) -> Path:
        """The folder of a finished stage."""
        return self.config.folder / name


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: also its folder.
        depends_on: what its result depends on besides the stage before it: config values, data hashes, versions.
        run: does the work in `Context.folder`.
        resumes: whether it can go on from what a killed attempt left; otherwise it starts from an empty folder.
    """

    name: str
    depends_on: Callable[[Config], Mapping[str, Any]]
    run: Callable[[Context], None]
    resumes: bool = False


def run_stages(config: Config, stages: Sequence[Stage], reporter: Reporter, *, fresh: bool = False) -> None:
    """Run the stages in order, skipping those that are finished for the same inputs.

    Args:
        config: the run.
        stages: from the first to the last that is wanted.
        reporter: shows progress.
        fresh: do all of them again.

    Raises:
        InputError: the run's folder holds something else.
    """
    _claim(config.folder)
    before = ""
    for stage in stages:
        depends_on = json.loads(json.dumps({"before": before, **stage.depends_on(config)}, default=str))
        fingerprint = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        if not fresh and _finished(config.folder / stage.name) == fingerprint:
            reporter.skipped(stage.name)
        else:
            _run(stage, config, reporter, fingerprint, depends_on, fresh)
        before = fingerprint


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages, for fingerprints and manifests."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _claim(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; choose another name or another runs folder")
    if folder.is_dir() and any(folder.iterdir()):
        marker = folder / RUN_FILE
        if not marker.is_file() or read_json(marker).get("kind") != _RUN_KIND:
            raise InputError(f"{folder}: holds something that is no crossforge run; choose another name or runs folder")
    else:
        write_json(folder / RUN_FILE, {"kind": _RUN_KIND})


def _finished(folder: Path) -> str | None:
    path = folder / STAGE_FILE
    return read_json(path).get("fingerprint") if path.is_file() else None


def _run(
    stage: Stage, config: Config, reporter: Reporter, fingerprint: str, depends_on: Mapping[str, Any], fresh: bool
) -> None:
    target = config.folder / stage.name
    partial = config.folder / f"{stage.name}.partial"
    marker = partial / "fingerprint.json"
    left = read_json(marker) if marker.is_file() else None
    if fresh or not stage.resumes or left != fingerprint:
        remove(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_json(marker, fingerprint)
    started = time.monotonic()
    reporter.started(stage.name)
    stage.run(Context(config, reporter, partial))
    seconds = round(time.monotonic() - started, 1)
    marker.unlink()
    write_json(partial / STAGE_FILE, {"fingerprint": fingerprint, "seconds": seconds, "depends_on": depends_on})
    remove(target)
    partial.rename(target)
    reporter.finished(stage.name, seconds)


def require_free_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise `InputError` if the disk of `folder` has less than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{folder}: {free / 1e9:.1f} GB free, {purpose} needs about {needed / 1e9:.1f} GB; free some space")

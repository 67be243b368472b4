"""Stages and their fingerprints: what is done already, for the same inputs, is not done again.

A stage reads the folders of the stages before it and writes its own, `RUNS/NAME/STAGE/`. It works in
`STAGE.partial/` beside it and renames that when all of it is there; `RUNS/NAME/stages/STAGE.json` says what the folder
was made from and is marked finished last, so a stage that was killed never looks finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, remove, write_json, written_atomically
from crossforge_train import processes
from crossforge_train.config import Config
from crossforge_train.reporting import Reporter

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
        parallel: whether all processes do the work together; the main one does the others alone.
    """

    name: str
    depends_on: Callable[[Config], Mapping[str, Any]]
    run: Callable[[Context], None]
    resumes: bool = False
    parallel: bool = False


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
    processes.from_main(lambda: claim(config.folder))
    # All before the first one runs: what is wrong with the base model shows now and not after minutes of mining.
    records = processes.from_main(lambda: _records(config, stages))
    for stage, record in zip(stages, records, strict=True):
        if _is_done(config.folder, stage.name, record["fingerprint"], fresh):
            reporter.skipped(stage.name)
        else:
            _run(stage, config, reporter, record, fresh)


def reuse(config: Config, stages: Sequence[Stage], others: Sequence[Path]) -> None:
    """Take over the stages that another run has finished for the same inputs; their files are linked, not copied.

    Args:
        config: the run that takes them over.
        stages: from the first to the last that is wanted.
        others: folders of runs, looked at in this order.

    Raises:
        InputError: the run's folder holds something else.
    """
    claim(config.folder)
    for stage, record in zip(stages, _records(config, stages), strict=True):
        name, fingerprint = stage.name, record["fingerprint"]
        if _is_finished(config.folder, name, fingerprint):
            continue
        source = next((other for other in others if _is_finished(other, name, fingerprint)), None)
        if source is None:
            return
        with written_atomically(config.folder / name) as beside:
            shutil.copytree(source / name, beside, copy_function=_link)
        write_json(_record_file(config.folder, name), stage_record(source, name))


def _link(source: str, target: str) -> None:
    # Stages are replaced whole and never written into, so both runs can have the same file.
    try:
        os.link(source, target)
    except OSError:  # the file system knows no hard links
        shutil.copy2(source, target)


def _records(config: Config, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """For each stage what its result depends on, the stages before it included, and the fingerprint of that."""
    records: list[dict[str, Any]] = []
    before = ""
    for stage in stages:
        depends_on = json.loads(json.dumps({"before": before, **stage.depends_on(config)}, default=str))
        before = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        records.append({"fingerprint": before, "depends_on": depends_on})
    return records


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages, for fingerprints and manifests."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def claim(folder: Path) -> None:
    """Mark a new or empty folder as that of a run.

    Raises:
        InputError: it holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; choose another name or another runs folder")
    if folder.is_dir() and any(folder.iterdir()):
        marker = folder / RUN_FILE
        if not marker.is_file() or read_json(marker) != {"kind": _RUN_KIND}:
            raise InputError(f"{folder}: holds something that is no crossforge run; choose another name or runs folder")
    else:
        write_json(folder / RUN_FILE, {"kind": _RUN_KIND})


def stage_record(run_folder: Path, name: str) -> dict[str, Any]:
    """What `RUNS/NAME/stages/STAGE.json` says: fingerprint, what it was made of, if it is finished; empty if none."""
    path = _record_file(run_folder, name)
    return dict(read_json(path)) if path.is_file() else {}


def _record_file(run_folder: Path, name: str) -> Path:
    return run_folder / "stages" / f"{name}.json"


def _is_done(run_folder: Path, name: str, fingerprint: str, fresh: bool) -> bool:
    return processes.from_main(lambda: not fresh and _is_finished(run_folder, name, fingerprint))


def _is_finished(run_folder: Path, name: str, fingerprint: str) -> bool:
    record = stage_record(run_folder, name)
    return (run_folder / name).is_dir() and record.get("finished") is True and record["fingerprint"] == fingerprint


def _run(stage: Stage, config: Config, reporter: Reporter, record: dict[str, Any], fresh: bool) -> None:
    started = time.monotonic()
    partial = processes.from_main(lambda: _open(stage, config, record, fresh))
    reporter.started(stage.name)
    context = Context(config, reporter, partial)
    if stage.parallel:
        stage.run(context)
    else:
        processes.from_main(lambda: stage.run(context))
    seconds = round(time.monotonic() - started, 1)
    processes.from_main(lambda: _close(stage, config, record, partial, seconds))
    reporter.finished(stage.name, seconds)


def _open(stage: Stage, config: Config, record: dict[str, Any], fresh: bool) -> Path:
    """The folder that the stage works in, with what a killed attempt left if it goes on from that."""
    partial = config.folder / f"{stage.name}.partial"
    left = stage_record(config.folder, stage.name)
    goes_on = (
        stage.resumes and not fresh and not left.get("finished") and left.get("fingerprint") == record["fingerprint"]
    )
    if not goes_on:
        remove(partial)
    write_json(_record_file(config.folder, stage.name), {**record, "finished": False})
    partial.mkdir(parents=True, exist_ok=True)
    return partial


def _close(stage: Stage, config: Config, record: dict[str, Any], partial: Path, seconds: float) -> None:
    target = config.folder / stage.name
    remove(target)
    partial.rename(target)
    write_json(_record_file(config.folder, stage.name), {**record, "finished": True, "seconds": seconds})


def require_free_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise `InputError` if the disk of `folder` has less than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {free / 1e9:.1f} GB free, {purpose} needs about {needed / 1e9:.1f} GB; free some space"
        )

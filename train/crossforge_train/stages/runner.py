"""Runs stages; the first of them are skipped as far as they are finished for the same inputs.

A stage reads the folders of earlier stages and writes its own. It works in a temporary folder, which is renamed once
it is complete. A record states what the folder was made from and is marked finished last, so a killed stage never
looks finished. The run is locked meanwhile, by the main process if there are several. If the config names a store, each
finished stage is copied there, and fetched from there where it is missing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import remove, written_atomically
from crossforge_train import processes
from crossforge_train.compute.base import Engine
from crossforge_train.compute.choice import opened_engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.run import Config
from crossforge_train.first_stage import trust_first_stage
from crossforge_train.models.base_model import find_base_model
from crossforge_train.models.own_code import run_own_code
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.links import link_tree
from crossforge_train.stages.records import (
    Wanted,
    begun_in,
    finished_in,
    follows,
    is_finished,
    read_record,
    wanted_records,
    write_record,
)
from crossforge_train.stages.run_store import RunStore
from crossforge_train.stages.stage import Context, Stage


def run_stages(config: Config, stages: Sequence[Stage], reporter: Reporter, *, fresh: bool = False) -> None:
    """Run the stages in order, skipping the first of them as far as they are finished for the same inputs.

    Args:
        config: config of the run.
        stages: all stages from the first to the last to run.
        reporter: shows progress.
        fresh: repeat finished stages, too.

    Raises:
        InputError: the run's folder holds something other than a run, another process works in it, or the cluster or
            the store that the config names cannot be used.
    """
    run, store = RunFolder(config.folder), RunStore(config, reporter)
    trust_first_stage(config.first_stage)
    _trust_base_model(config, reporter)
    with ExitStack() as lock, ExitStack() as cluster:
        processes.from_main(lambda: lock.enter_context(run.taken()))
        processes.from_main(store.open)
        # All records are made before any stage runs, so that a bad base model fails now and not after hours of mining.
        records = processes.from_main(lambda: wanted_records(config, stages))
        if not fresh:
            processes.from_main(lambda: store.fetch(stages, records))
        done = processes.from_main(lambda: 0 if fresh else _finished(run, stages, records))
        processes.from_main(lambda: _check(config, stages[done:]))
        computing = [stage.name for stage in stages[done:] if stage.computes]
        engine = _engine(config, cluster) if computing else LocalEngine()
        for number, (stage, wanted) in enumerate(zip(stages, records, strict=True)):
            if number < done:
                reporter.skipped(stage.name)
            else:
                _run(stage, config, reporter, wanted, fresh, engine, store)
            processes.from_main(partial(store.keep, stage))
            if stage.name in computing[-1:]:
                cluster.close()  # training needs the memory


def _trust_base_model(config: Config, reporter: Reporter) -> None:
    """Run the base model's own code, in each process and before anything loads it, if the config says so."""
    if not config.trust_remote_code:
        return
    folder = find_base_model(config.base_model)
    if ran := run_own_code(config.base_model, folder):
        reporter.note(f"trust_remote_code: running the base model's own code, {', '.join(ran)} in {folder}")


def reuse(config: Config, stages: Sequence[Stage], others: Sequence[Path]) -> None:
    """Reuse stages that other runs have finished for the same inputs; files are hard-linked where possible.

    Args:
        config: config of the run that reuses them.
        stages: all stages from the first to the last to run.
        others: folders of other runs, searched in this order.

    Raises:
        InputError: the run's folder holds something other than a run, or another process works in it.
    """
    run = RunFolder(config.folder)
    with run.taken():
        for stage, wanted in zip(stages, wanted_records(config, stages), strict=True):
            if is_finished(run, stage.name, wanted):
                continue
            holding = (other for other in map(RunFolder, others) if is_finished(other, stage.name, wanted, after=run))
            source = next(holding, None)
            if source is None:
                return
            with written_atomically(run.stage(stage.name)) as beside:
                link_tree(source.stage(stage.name), beside)
            shutil.copy2(source.record(stage.name), run.record(stage.name))


def _finished(run: RunFolder, stages: Sequence[Stage], records: Sequence[Wanted]) -> int:
    """How many of the first stages are finished; what follows one that is made again is made again, too."""
    done = 0
    for stage, wanted in zip(stages, records, strict=True):
        if not is_finished(run, stage.name, wanted):
            break
        done += 1
    return done


def _check(config: Config, stages: Sequence[Stage]) -> None:
    for stage in stages:
        stage.check(config)


def _engine(config: Config, opened: ExitStack) -> Engine:
    """The engine of the main process, the only one that shares work out; `opened` ends it."""
    found: list[Engine] = [LocalEngine()]
    processes.from_main(lambda: found.append(opened.enter_context(opened_engine(config.compute, shared=config.folder))))
    return found[-1]


def _run(
    stage: Stage, config: Config, reporter: Reporter, wanted: Wanted, fresh: bool, engine: Engine, store: RunStore
) -> None:
    started, run = time.monotonic(), RunFolder(config.folder)
    processes.from_main(lambda: _open(stage, run, wanted, fresh, store))
    reporter.started(stage.name)
    keep = partial(store.keep_unfinished, stage, wanted)
    context = Context(config, reporter, run.partial(stage.name), engine, keep)
    with _kept(context.folder) if processes.is_main() else nullcontext():
        if stage.parallel:
            stage.run(context)
        else:
            processes.from_main(lambda: stage.run(context))
    seconds = round(time.monotonic() - started, 1)
    processes.from_main(lambda: _close(stage, run, wanted, seconds))
    reporter.finished(stage.name, seconds)


def _open(stage: Stage, run: RunFolder, wanted: Wanted, fresh: bool, store: RunStore) -> None:
    """Make the stage's working folder; if the stage resumes a killed attempt, keep the files of that attempt."""
    left = read_record(run, stage.name)
    was_left = left is not None and not left.finished and wanted.fits(left) and follows(run, wanted, left)
    begun = was_left and stage.begun(run.partial(stage.name))
    if not (stage.resumes and not fresh and (begun or store.fetch_unfinished(stage, wanted) or was_left)):
        remove(run.partial(stage.name))
    write_record(run, stage.name, begun_in(run, wanted))
    run.partial(stage.name).mkdir(parents=True, exist_ok=True)


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Raise `InputError` at the end if the folder is no longer the same, and so perhaps not all that was written."""
    with os.scandir(folder):  # as long as it is open, no other folder gets its number
        before = folder.stat()
        yield
        if not (folder.is_dir() and os.path.samestat(before, folder.stat())):
            raise InputError(f"{folder}: deleted or replaced while the stage worked in it; run the same command again")


def _close(stage: Stage, run: RunFolder, wanted: Wanted, seconds: float) -> None:
    target = run.stage(stage.name)
    remove(target)
    run.partial(stage.name).rename(target)
    write_record(run, stage.name, finished_in(seconds, begun_in(run, wanted)))

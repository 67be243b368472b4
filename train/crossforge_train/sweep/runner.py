"""Runs the trials of a sweep; each is a separate run that stops after `finetune`."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import remove
from crossforge_train.config.loading import load_config, override_of
from crossforge_train.config.run import Config
from crossforge_train.config.training import AUTO
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import COLLECT, FINETUNE, RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import reuse, run_stages
from crossforge_train.sweep.proposals import Trial, propose, require_optuna

# What these come to where there is time. Trainings that picked them by their own pace could not be compared.
_MEASURED = {"evaluations": 4, "dev_queries": 100}


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep.

    Attributes:
        metric: the maximised dev measure.
        folder: folder of the trials' runs, `trial-001` and so on.
        trials: all trials, best first, failed ones last.
        command: command that trains with the best values.
    """

    metric: str
    folder: str
    trials: tuple[Trial, ...]
    command: str


def run_sweep(path: Path, overrides: Sequence[str], trials: int | None, reporter: Reporter) -> Sweep:
    """Run the trials of a config file; work finished before a kill is not repeated.

    Args:
        path: the config file.
        overrides: `a.b=value`, applied to all trials.
        trials: number of trials; `sweep.trials` if None.
        reporter: shows progress.

    Raises:
        InputError: there is nothing to search, Optuna is not installed, every trial failed, or another process works in
            the run's folder.
    """
    config = load_config(path, overrides)
    if not config.sweep.space:
        raise InputError(f"{path}: sweep.space is missing; name the keys to search and their values")
    for override in overrides:
        if (key := override.partition("=")[0].strip()) in config.sweep.space:
            raise InputError(f"--set {key}: sweep.space of {path} searches this key; take it out of one of the two")
    require_optuna()
    with RunFolder(config.folder).taken():  # throughout: two sweeps of one run would be in each other's trials
        done = _run_trials(path, overrides, trials or config.sweep.trials, config, reporter)
    if all(trial.dev is None for trial in done):
        raise InputError(f"every trial of the sweep failed, the last one with: {done[-1].reason}")
    ordered = sorted(done, key=lambda trial: (trial.dev is None, -(trial.dev or 0), trial.number))
    command = _command(path, [*overrides, *settings(ordered[0].values)])
    return Sweep(config.evaluation.metric, str(_folder(config)), tuple(ordered), command)


def settings(values: Mapping[str, Any]) -> list[str]:
    """Format values as arguments of `--set`."""
    return [override_of(key, value) for key, value in values.items()]


def measured_alike(config: Config) -> Config:
    """The config with dev measured as in all trainings that it is compared with, unless it says how itself."""
    measured = {key: value for key, value in _MEASURED.items() if getattr(config.training, key) == AUTO}
    return config.model_copy(update={"training": config.training.model_copy(update=measured)})


def _run_trials(path: Path, overrides: Sequence[str], count: int, config: Config, reporter: Reporter) -> list[Trial]:
    done: list[Trial] = []
    proposed = propose(config.sweep.space, done, config.seed)
    run_stages(config, stages_until(config, COLLECT), reporter)
    while True:
        reporter.note(f"trial {len(done) + 1} of {count}: {', '.join(settings(proposed))}")
        done.append(_run_trial(path, [*overrides, *settings(proposed)], config, proposed, len(done) + 1, reporter))
        if len(done) == count:
            return done
        proposed = propose(config.sweep.space, done, config.seed)


def _run_trial(
    path: Path, overrides: Sequence[str], base: Config, values: Mapping[str, Any], number: int, reporter: Reporter
) -> Trial:
    try:
        config = _config_of(load_config(path, overrides), base, number)
        stages = stages_until(config, FINETUNE)
        _copy_judgements(base, config)
        reuse(config, stages, [base.folder, *(_folder(base) / _name(earlier) for earlier in range(1, number))])
        run_stages(config, stages, reporter)
    except InputError as error:
        reporter.note(f"trial {number} failed: {error}")
        return Trial(number, values, reason=str(error))
    history = RunFolder(config.folder).last_finetuned(config.mining.rounds).history
    return Trial(number, values, history.chosen_by, history.first_stage_dev)


def _config_of(config: Config, base: Config, number: int) -> Config:
    """The config of a trial's run, which is named by its path within `runs`: so is its place in a store."""
    name = (_folder(base) / _name(number)).relative_to(base.runs).as_posix()
    return measured_alike(config).model_copy(update={"name": name})


def _copy_judgements(base: Config, config: Config) -> None:
    """Copy manual judgements and typed queries, which lie beside the base run's stages, into a trial's run."""
    own, theirs = RunFolder(config.folder), RunFolder(base.folder)
    for source, target in ((theirs.judgements, own.judgements), (theirs.typed_queries, own.typed_queries)):
        if source.is_file():
            own.claim()
            shutil.copy2(source, target)
        else:
            remove(target)  # of a trial made before they were withdrawn


def _folder(config: Config) -> Path:
    return RunFolder(config.folder).sweep


def _name(number: int) -> str:
    return f"trial-{number:03}"


def _command(path: Path, overrides: Sequence[str]) -> str:
    parts = ["crossforge", "train", str(path)]
    for override in overrides:
        parts += ["--set", override]
    return shlex.join(parts)

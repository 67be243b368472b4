"""Trains on an eighth, a quarter, half and all of the labels, each in a run of its own, and measures each on dev."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import write_json, written_atomically
from crossforge_train.collections.collection import judges
from crossforge_train.config.run import Config
from crossforge_train.learning_curve.measuring import MEASURE
from crossforge_train.learning_curve.outcome import LearningCurve, Training, make_learning_curve
from crossforge_train.learning_curve.page import page
from crossforge_train.learning_curve.shares import Share, config_of, drawn_shares, stages_of
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import COLLECT, FINETUNE, RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

_PAGE_FILE, _JSON_FILE = "learning-curve.html", "learning-curve.json"


def run_learning_curve(config: Config, reporter: Reporter) -> LearningCurve:
    """Train on shares of the labels, and write the curve as JSON and as a page; finished work is not repeated.

    All labels are trained on in the run's own folder, where `crossforge train` finds it finished.

    Args:
        config: of the run.
        reporter: shows progress.

    Raises:
        InputError: there are too few labelled queries, the training on all of them failed, or another process works in
            the run's folder.
    """
    config = _without_clock(config)
    run = RunFolder(config.folder)
    with run.taken():  # throughout: two curves of one run would be in each other's trainings
        run_stages(config, stages_until(config, COLLECT), reporter)
        *shares, whole = drawn_shares(config, run.collected.collection())
        reporter.note(f"training on all {len(whole.query_ids):,} labelled queries")
        run_stages(config, [*stages_until(config, FINETUNE), MEASURE], reporter)
        if run.last_finetuned(config.mining.rounds).history.training.epochs < 1:
            reporter.note(
                "the training on all labels had no time to read them all: this is a curve of time, not of labels; "
                "training.minutes: null makes it one of labels"
            )
        trainings = [_train(config, share, reporter) for share in shares]
        trainings.append(Training(str(whole.share), len(whole.query_ids), run.dev_values.values))
        return _written(config, trainings)


def _without_clock(config: Config) -> Config:
    """At the depth and on the queries that dev calls for: what a machine does in time is another question."""
    package = config.package.model_copy(update={"budget_ms": None, "layers": ()})
    return config.model_copy(
        update={"package": package, "evaluation": config.evaluation.model_copy(update={"minutes": None})}
    )


def _train(base: Config, share: Share, reporter: Reporter) -> Training:
    count, config = len(share.query_ids), config_of(base, share)
    reporter.note(f"training on {share.share} of the labelled queries: {count:,}")
    try:
        run_stages(config, stages_of(base, share), reporter)
    except InputError as error:
        reporter.note(f"the training on {share.share} failed: {error}")
        return Training(str(share.share), count, reason=str(error))
    return Training(str(share.share), count, RunFolder(config.folder).dev_values.values)


def _written(config: Config, trainings: Sequence[Training]) -> LearningCurve:
    run = RunFolder(config.folder)
    file: Path = run.learning_curve / _PAGE_FILE
    collection = run.collected.collection()
    judged = {split: judges(collection, split) for split in (config.collection.train, config.collection.dev_split)}
    found = make_learning_curve(config.name, collection.name, trainings, config.seed, str(file), judged)
    write_json(run.learning_curve / _JSON_FILE, asdict(found))
    with written_atomically(file) as beside:
        beside.write_text(page(found), encoding="utf-8", errors="replace")
    return found

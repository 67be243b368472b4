"""Stage records: the fingerprint of each stage's inputs, and the file that holds it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from crossforge.files import read_json, write_json
from crossforge_train.config.run import Config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.stage import Stage


@dataclass(frozen=True)
class StageRecord:
    """The content of `RUNS/NAME/stages/STAGE.json`.

    Attributes:
        fingerprint: hash of everything that the stage's result depends on, including earlier stages.
        depends_on: the hashed values, for people to read.
        finished: whether the stage's folder is complete.
        seconds: duration of the stage; None until it is finished.
        made: drawn when the stage is finished, so that it can be told from what another machine made of the same
            inputs; None until then, and in records of version 0.1.
        made_from: what the stage before was `made` as; empty if it says nothing, None in records of earlier versions.
    """

    fingerprint: str
    depends_on: Mapping[str, Any]
    finished: bool = False
    seconds: float | None = None
    made: str | None = None
    made_from: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The record that a stage needs in order to count as done.

    Attributes:
        record: the record by this version's rules.
        formerly: fingerprints of the same inputs by earlier versions' rules.
        before: name of the stage before; None for the first.
    """

    record: StageRecord
    formerly: frozenset[str]
    before: str | None = None

    def fits(self, record: StageRecord | None) -> bool:
        """Whether a record has the same inputs."""
        return record is not None and record.fingerprint in {self.record.fingerprint, *self.formerly}


def wanted_records(config: Config, stages: Sequence[Stage]) -> list[Wanted]:
    """The records wanted for consecutive stages, starting with the first of a run."""
    wanted: list[Wanted] = []
    before = [""]  # the fingerprints that the stage before may have, by this version's rules first
    name_before: str | None = None
    for stage in stages:
        now = stage.depends_on(config)
        forms = [now, *([stage.formerly(config, now)] if stage.formerly else [])]
        record, *others = [_record(fingerprint, form) for form in forms for fingerprint in before]
        wanted.append(Wanted(record, frozenset(other.fingerprint for other in others), name_before))
        before = list(dict.fromkeys([record.fingerprint, *(other.fingerprint for other in others)]))
        name_before = stage.name
    return wanted


def read_record(run: RunFolder, stage: str) -> StageRecord | None:
    """The record of a stage; None if it was never started."""
    path = run.record(stage)
    return StageRecord(**read_json(path)) if path.is_file() else None


def write_record(run: RunFolder, stage: str, record: StageRecord) -> None:
    """Write the record of a stage."""
    write_json(run.record(stage), {name: value for name, value in asdict(record).items() if value is not None})


def begun_in(run: RunFolder, wanted: Wanted) -> StageRecord:
    """The record of a stage that begins in a run, made from what the run holds of the stage before."""
    before = _record_before(run, wanted)
    return replace(wanted.record, made_from=(before and before.made) or "")


def finished_in(seconds: float, record: StageRecord) -> StageRecord:
    """The record marked as finished, with the stage's duration."""
    return replace(record, finished=True, seconds=seconds, made=uuid.uuid4().hex)


def is_finished(run: RunFolder, stage: str, wanted: Wanted, *, after: RunFolder | None = None) -> bool:
    """Whether a run holds the stage, finished for the same inputs and made from what there is of the stage before.

    Args:
        run: the run.
        stage: name of the stage.
        wanted: its record.
        after: the run that holds the stage before, if not the same.
    """
    record = read_record(run, stage)
    return (
        record is not None
        and record.finished
        and wanted.fits(record)
        and follows(after or run, wanted, record)
        and run.stage(stage).is_dir()
    )


def follows(run: RunFolder, wanted: Wanted, record: StageRecord) -> bool:
    """Whether a stage was made from what a run holds of the stage before, which may have been made again since."""
    before = _record_before(run, wanted)
    if record.made_from is None:  # this version did not make it, and so must not have made the stage before
        return before is None or before.made_from is None
    return record.made_from == ((before and before.made) or "")


def _record_before(run: RunFolder, wanted: Wanted) -> StageRecord | None:
    return read_record(run, wanted.before) if wanted.before is not None else None


def _record(before: str, depends_on: Mapping[str, Any]) -> StageRecord:
    """The record of a stage; its fingerprint includes that of the stage before."""
    found = json.loads(json.dumps({"before": before, **depends_on}, default=str))
    return StageRecord(hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest(), found)

"""What each stage was made from: fingerprints, and the files that hold them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from crossforge.files import read_json, write_json
from crossforge_train.config.run import Config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.stage import Stage


@dataclass(frozen=True)
class StageRecord:
    """What `RUNS/NAME/stages/STAGE.json` holds.

    Attributes:
        fingerprint: of everything that the stage's result depends on, the stages before it included.
        depends_on: these things themselves, for people.
        finished: whether the stage's folder is whole.
        seconds: that it took; None as long as it is not finished.
    """

    fingerprint: str
    depends_on: Mapping[str, Any]
    finished: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Wanted:
    """What a stage's record has to say for the stage to be done.

    Attributes:
        record: of this version.
        formerly: the fingerprint of the same inputs in an earlier version.
    """

    record: StageRecord
    formerly: str

    def fits(self, record: StageRecord | None) -> bool:
        """Whether a record is of the same inputs."""
        return record is not None and record.fingerprint in (self.record.fingerprint, self.formerly)


def wanted_records(config: Config, stages: Sequence[Stage]) -> list[Wanted]:
    """What each of some consecutive stages, from the first of a run on, depends on."""
    found = [stage.depends_on(config) for stage in stages]
    before = [stage.formerly(config, now) if stage.formerly else now for stage, now in zip(stages, found, strict=True)]
    pairs = zip(_chained(found), _chained(before), strict=True)
    return [Wanted(record, former.fingerprint) for record, former in pairs]


def read_record(run: RunFolder, stage: str) -> StageRecord | None:
    """The record of a stage, None if it was never begun."""
    path = run.record(stage)
    return StageRecord(**read_json(path)) if path.is_file() else None


def write_record(run: RunFolder, stage: str, record: StageRecord) -> None:
    """Write the record of a stage."""
    write_json(run.record(stage), {name: value for name, value in asdict(record).items() if value is not None})


def finished_in(seconds: float, record: StageRecord) -> StageRecord:
    """The record of a stage that is done."""
    return replace(record, finished=True, seconds=seconds)


def is_finished(run: RunFolder, stage: str, wanted: Wanted) -> bool:
    """Whether a run holds the finished stage of the same inputs."""
    record = read_record(run, stage)
    return run.stage(stage).is_dir() and wanted.fits(record) and record is not None and record.finished


def _chained(dependencies: Sequence[Mapping[str, Any]]) -> list[StageRecord]:
    """A record for each stage; its fingerprint goes into that of the next."""
    records: list[StageRecord] = []
    before = ""
    for depends_on in dependencies:
        found = json.loads(json.dumps({"before": before, **depends_on}, default=str))
        before = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
        records.append(StageRecord(before, found))
    return records

"""The settings of a judge on which what the stage `collect` has made does not depend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from crossforge_train.adaptation.graded_log import NOT_GRADED, REFUSED
from crossforge_train.collections.counts import Counts
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.config.run import Config
from crossforge_train.labels.agreement import ENOUGH_PAIRS
from crossforge_train.run_folder import COLLECT, RunFolder
from crossforge_train.stages.records import StageRecord, read_record

# They say where the judge is and how it is asked, none of which is among what its grades are kept by.
_ASKING: Final = frozenset({"url", "key_variable", "concurrency", "timeout", "retries", "price", "batch"})
_BUDGET: Final = frozenset({"max_calls", "max_tokens"})


def as_collected(config: Config, depends_on: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the stage depends on, with the finished stage's values of settings that made no difference to it.

    Only if nothing else differs. So the fingerprint stays what it was, and with it those of all later stages.

    Args:
        config: of the run.
        depends_on: the values by the config alone.
    """
    source, run = config.collection.documents, RunFolder(config.folder)
    record = read_record(run, COLLECT)
    if source is None or source.judge is None or not _is_kept(record, run):
        return depends_on
    had = _judge(record.depends_on)
    idle = _idle(source.judge, had, run.collected.counts)
    now = {key: value for key, value in _judge(depends_on).items() if key not in idle}
    kept = {**now, **{key: value for key, value in had.items() if key in idle}}
    documents = {**depends_on["collection"]["documents"], "judge": kept}
    found = {**depends_on, "collection": {**depends_on["collection"], "documents": documents}}
    return found if _read_back(found) == record.depends_on else depends_on


def _idle(judge: JudgeConfig, had: Mapping[str, Any], counts: Counts) -> frozenset[str]:
    """The settings that could be others without any label being another."""
    idle = frozenset[str]()
    if not counts.counted.get(REFUSED):
        idle |= _ASKING
    if not counts.counted.get(NOT_GRADED):
        idle |= _BUDGET
    compared = counts.agreement.pairs if counts.agreement else 0
    if compared < min(had.get("compared", 0), judge.compared):
        idle |= {"compared"}
    if compared < ENOUGH_PAIRS or judge.least_kappa is None:
        idle |= {"least_posterior"}
    return idle


def _is_kept(record: StageRecord | None, run: RunFolder) -> TypeGuard[StageRecord]:
    return record is not None and record.finished and bool(_judge(record.depends_on)) and run.stage(COLLECT).is_dir()


def _judge(depends_on: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section, as far as there is one."""
    documents = depends_on["collection"].get("documents") or {}
    return documents.get("judge") or {}


def _read_back(depends_on: Mapping[str, Any]) -> dict[str, Any]:
    """As a record holds it, of the first stage."""
    found: dict[str, Any] = json.loads(json.dumps({"before": "", **depends_on}, default=str))
    return found

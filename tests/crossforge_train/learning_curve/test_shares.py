"""The runs that train on a share of the labels: when what they hold still counts."""

from __future__ import annotations

from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import pytest
from support import Recorder, toy_config
from wrapped_engine import PretendedCluster

from crossforge_train.config.compute import ComputeConfig
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.learning_curve.shares import Share, config_of, stages_of
from crossforge_train.run_folder import COLLECT, MINE, RunFolder
from crossforge_train.stages import collect, mine, runner
from crossforge_train.stages.records import StageRecord, wanted_records, write_record
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")

SHARE = Share(Fraction(1, 2), ["q1", "q2"])


@pytest.fixture
def config(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> Config:
    return load_config(toy_config(tmp_path, toy_collection, tiny_encoder))


def fingerprints(config: Config, made: str, made_from: str | None) -> list[str]:
    """Those of a share's first stages, once the whole run has collected and mined with this outcome."""
    for stage in (COLLECT, MINE):
        write_record(RunFolder(config.folder), stage, StageRecord("inputs", {}, True, 1.0, made, made_from))
    wanted = wanted_records(config_of(config, SHARE), stages_of(config, SHARE)[:2])
    return [one.record.fingerprint for one in wanted]


def test_shares_are_made_again_if_the_whole_run_was(config: Config) -> None:
    first = fingerprints(config, "first", "")
    assert first == fingerprints(config, "first", "")
    assert not set(first) & set(fingerprints(config, "second", ""))


def test_shares_of_an_earlier_version_stay_until_the_whole_run_is_made_again(config: Config) -> None:
    formerly = fingerprints(config, "first", None)
    assert formerly == fingerprints(config, "another", None)
    assert not set(formerly) & set(fingerprints(config, "first", ""))


def test_a_share_is_mined_where_the_config_says_and_no_shard_is_left(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid = config.first_stage.model_copy(update={"kind": "hybrid", "lexical_weight": 0.5})
    config = config.model_copy(update={"first_stage": hybrid, "compute": ComputeConfig(shards=3)})
    run_stages(config, [collect.STAGE, mine.STAGE], Recorder())
    share = Share(Fraction(1, 4), sorted(RunFolder(config.folder).collected.collection().qrels("train"))[:8])
    cluster = PretendedCluster()
    monkeypatch.setattr(runner, "opened_engine", lambda *_, **__: nullcontext(cluster))
    run_stages(config_of(config, share), stages_of(config, share)[:2], Recorder())
    found = RunFolder(config_of(config, share).folder).mined
    assert {group.query_id for group in found.groups()} <= set(share.query_ids)
    assert cluster.batches
    assert not found.shards.exists()

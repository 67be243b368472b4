"""A cluster on this machine, and a cross-encoder for its workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from object_stores import CREDENTIALS, s3_server
from ray_workers import importable_by_workers

from crossforge_train.compute.base import Engine
from crossforge_train.compute.choice import opened_engine
from crossforge_train.config.compute import ComputeConfig


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two workers on a cluster that was started for them."""
    pytest.importorskip("ray")
    config = ComputeConfig(engine="ray", workers=2)
    with importable_by_workers(), opened_engine(config, shared=tmp_path_factory.mktemp("shared")) as engine:
        yield engine


@pytest.fixture(scope="session")
def tiny_scorer(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A cross-encoder with random weights."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder, plain = tmp_path_factory.mktemp("models") / "scoring", tiny_encoder.with_name(tiny_encoder.name + "-plain")
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(plain, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(plain).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """An S3 server with the bucket `bucket`: what a URI says after its `?`."""
    with s3_server() as where:
        yield where


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty store: a folder, or where a test is marked so a bucket."""
    if getattr(request, "param", "file") == "file":
        return f"file://{tmp_path}/store"
    where = request.getfixturevalue("s3")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{tmp_path.name}?{where}"

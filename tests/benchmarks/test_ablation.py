"""benchmarks/ablation.py: its variants can be compared."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from support import toy_config


@pytest.fixture
def ablation(script: Any) -> Any:
    return script("ablation")


def test_dev_is_measured_in_all_variants_alike(ablation: Any, toy_collection: Path, tmp_path: Path) -> None:
    path = toy_config(tmp_path, toy_collection, tmp_path, training={"evaluations": "auto", "dev_queries": "auto"})
    options = Namespace(config=path, out=tmp_path, seed=1, overrides=[])
    for name in ("as it is", "128 tokens"):
        training = ablation._config(options, name, ablation.PARTS[name]).training
        assert (training.evaluations, training.dev_queries) == (4, 100)
    options.overrides = ["training.dev_queries=30"]
    assert ablation._config(options, "as it is", []).training.dev_queries == 30

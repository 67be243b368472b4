"""A modular CrossEncoder as base, teacher and incumbent of a run, and in a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import make_modular, toy_config

import crossforge_train as ct
from crossforge import Reranker
from crossforge.files import read_json
from crossforge_train.config.loading import load_config
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.mark.slow
def test_it_is_trained_measured_and_packaged(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    from sentence_transformers import CrossEncoder

    base = make_modular(tmp_path / "modular", tiny_encoder)
    config = load_config(
        toy_config(
            tmp_path, toy_collection, base,
            mining={"teacher": str(base)},
            training={"distillation_weight": 0.5, "merge": 0.1},
            evaluation={"incumbent": str(base), "latency_queries": 0, "calibration": "platt"},
            package={"allow_regression": True},
        )
    )  # fmt: skip
    run_stages(config, STAGES, SilentReporter())
    package = config.folder / "package"
    history = read_json(config.folder / "finetune" / "history.json")
    assert history["start_share"] == 0.1
    names = {system["name"] for system in read_json(package / "evaluation" / "report.json")["splits"][0]["systems"]}
    assert {"base model", "incumbent", "as shipped"} <= names

    texts = ["flour and yeast of the loaf", "a boat in the wind", "old bread"]
    reranker = Reranker(package)
    assert reranker.backend_name == "onnx"
    assert reranker.manifest.folded is not None
    shown = CrossEncoder(str(package), device="cpu").predict([("bread oven", text) for text in texts])
    by_text = {found.text: found.probability for found in reranker.rank("bread oven", texts)}
    assert [by_text[text] for text in texts] == pytest.approx(shown.tolist(), abs=1e-5)

    compared = ct.compare([str(base), str(package)], toy_collection, ct.Measurement(depth=10, max_queries=8))
    assert compared.verdict in ("WIN", "TIE", "REGRESSION")

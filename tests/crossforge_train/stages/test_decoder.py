"""A decoder that answers yes or no as base model of a run: its template goes with it into the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import make_decoder, toy_config

from crossforge import Reranker
from crossforge.templates import TemplateTokenizer
from crossforge_train.config.loading import load_config
from crossforge_train.mining.groups import read_groups
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.mark.slow
def test_it_is_trained_measured_and_packaged(tmp_path: Path, toy_collection: Path) -> None:
    from sentence_transformers import CrossEncoder

    base = make_decoder(tmp_path / "decoder")
    config = load_config(
        toy_config(
            tmp_path, toy_collection, base,
            training={"merge": 0.1, "instruction": "old bread"},
            mining={"teacher": str(base)},
            evaluation={"latency_queries": 0, "bm25": False},
            package={"allow_regression": True},
        )
    )  # fmt: skip
    run_stages(config, STAGES, SilentReporter())
    reranker = Reranker(config.folder / "package")
    assert isinstance(reranker.tokenizer, TemplateTokenizer)
    assert reranker.tokenizer.template.before == "judge : old bread query : "
    assert "The instruction in its template: `old bread`." in (config.folder / "package" / "README.md").read_text()
    (group, *_) = read_groups(config.folder / "mine" / "groups")
    collection = RunFolder(config.folder).collected.collection()
    texts = [collection.corpus[doc_id].full_text for doc_id in group.doc_ids]
    taught = Reranker(base, instruction="old bread").score(collection.queries[group.query_id], texts)
    assert group.teacher == pytest.approx(taught, abs=1e-3), "the teacher reads the instruction, too"
    assert reranker.manifest.folded is None, "the head of a decoder has no bias"
    assert "its last layer has no bias" in (config.folder / "package" / "README.md").read_text()
    pairs = [("bread oven", text) for text in ("flour and yeast", "a boat in the wind", "old bread " * 30)]
    shown = CrossEncoder(str(config.folder / "package"), device="cpu").predict(pairs)
    logits = reranker.score_pairs(pairs).logits
    assert [1 / (1 + 2.718281828**-logit) for logit in logits] == pytest.approx(shown.tolist(), abs=1e-5)

"""The trainer takes every kind of reranker, whether or not sentence-transformers could load it by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from support import make_decoder, make_modular

from crossforge.heads.choice import scoring_head
from crossforge_train.training.arguments import step_count
from crossforge_train.training.schedule import LinearSchedule
from crossforge_train.training.scoring import scoring_cross_encoder
from crossforge_train.training.trainer import CrossEncoderTrainer


@pytest.mark.parametrize("kind", ["modular", "decoder"])
def test_it_needs_no_tokenizer_of_the_model(tiny_encoder: Path, tmp_path: Path, kind: str) -> None:
    base = make_modular(tmp_path / "base", tiny_encoder) if kind == "modular" else make_decoder(tmp_path / "base")
    model = scoring_cross_encoder(scoring_head(base).load(base))
    rows = Dataset.from_dict({"query": ["bread"], "documents": ["flour and yeast"], "label": [1.0]})
    arguments = CrossEncoderTrainingArguments(output_dir=str(tmp_path / "checkpoints"), report_to=[], use_cpu=True)
    trainer = CrossEncoderTrainer(
        schedule=LinearSchedule(0, 1),
        model=model,
        args=arguments,
        train_dataset=rows,
        loss=BinaryCrossEntropyLoss(model),
    )
    assert trainer.model is model


@pytest.mark.parametrize("groups", [1, 5, 8, 9, 12, 20, 800])
def test_every_pass_reads_all_groups_even_if_they_do_not_fill_its_last_batch(groups: int) -> None:
    batches = len(range(0, groups, 8))
    assert step_count(1, groups, 8) == batches
    assert step_count(4, groups, 8) == 4 * batches
    assert step_count(0.5, 801, 8) == 50

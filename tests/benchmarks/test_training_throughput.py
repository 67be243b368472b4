"""benchmarks/training_throughput.py: each trainer's own work is counted, on one GPU."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments
from support import toy_config

from crossforge.errors import InputError
from crossforge_train.config.training import PickedTraining


@pytest.fixture
def throughput(script: Any) -> Any:
    return script("training_throughput")


def turn(throughput: Any, model: CrossEncoder, folder: Path) -> Any:
    pairs = [{"query": "bread", "document": f"oven {number}", "label": number % 2} for number in range(8)]
    settings = throughput.stock_settings(folder, 2, 2, 0, bf16=False)
    loss = throughput.stock.losses.BinaryCrossEntropyLoss(model)
    return throughput.turn(model, Dataset.from_list(pairs), loss, settings)


def test_the_parameters_are_those_of_the_trained_model(throughput: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    whole, shallow = (CrossEncoder(str(tiny_encoder), num_labels=1, local_files_only=True) for _ in range(2))
    del shallow.model.bert.encoder.layer[1]
    most, fewer = (turn(throughput, model, tmp_path) for model in (whole, shallow))
    assert most.pairs == fewer.pairs == 2
    assert most.layers - fewer.layers == sum(value.numel() for value in whole.model.bert.encoder.layer[1].parameters())


def test_several_gpus_train_as_one(throughput: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossEncoderTrainingArguments, "n_gpu", property(lambda _: 4))
    training = PickedTraining(
        precision="fp32", distillation_weight=0, learning_rate=1e-5, head_learning_rate=1e-5, epochs=1, max_length=64
    )
    ours = throughput.our_settings(training, tmp_path, 8, 2, 0, cpu=True)
    stock = throughput.stock_settings(tmp_path, 2, 2, 0, bf16=False)
    assert ours._n_gpu == stock._n_gpu == 1
    assert ours.logging_steps == stock.logging_steps


def test_what_would_be_counted_twice_is_refused(throughput: Any, toy_collection: Path, tmp_path: Path) -> None:
    path = toy_config(tmp_path, toy_collection, tmp_path, training={"mini_batch": 128})
    with pytest.raises(InputError, match="mini_batch: what a model reads twice would count twice"):
        throughput._measure(path, Namespace(max_length=64, groups=2))

"""The arguments of `CrossEncoderTrainer`, from a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

from crossforge_train.training.config import TrainingConfig
from crossforge_train.training.dev_evaluator import METRIC_NAME
from crossforge_train.training.model import HEAD


def arguments(training: TrainingConfig, seed: int, folder: Path, groups: int, *, bf16: bool, cpu: bool) -> Any:
    """What the trainer is told.

    Args:
        training: the config section.
        seed: of the run.
        folder: where checkpoints are written.
        groups: how many there are to train on.
        bf16: whether to compute in half precision.
        cpu: whether to train on the CPU.
    """
    steps = max(1, round(training.epochs * groups / training.groups_per_batch))
    every = max(1, -(-steps // training.evaluations))
    return CrossEncoderTrainingArguments(
        output_dir=str(folder.resolve()),
        per_device_train_batch_size=training.groups_per_batch,
        max_steps=steps,
        learning_rate=training.learning_rate,
        learning_rate_mapping={HEAD: training.head_learning_rate},
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup,  # below 1 it is a share of all steps
        bf16=bf16,
        use_cpu=cpu,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{METRIC_NAME}",
        greater_is_better=True,
        logging_strategy="steps",
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,
        seed=seed,
        data_seed=seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )

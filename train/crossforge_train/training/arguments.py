"""The arguments of `CrossEncoderTrainer`, from a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

from crossforge.errors import InputError
from crossforge_train import processes
from crossforge_train.config.training import PickedTraining
from crossforge_train.training.history import DEV_METRIC
from crossforge_train.training.model import HEAD
from crossforge_train.training.tracking import trainers_own


def step_count(epochs: float, groups: int, groups_per_batch: int) -> int:
    """How many steps so many epochs over so many groups are, at least one."""
    return max(1, round(epochs * groups / groups_per_batch))


def arguments(training: PickedTraining, name: str, seed: int, folder: Path, groups: int, *, cpu: bool) -> Any:
    """What the trainer is told.

    Args:
        training: the config section.
        name: of the run, for trackers.
        seed: of the run.
        folder: where checkpoints are written.
        groups: how many there are to train on.
        cpu: whether to train on the CPU.

    Raises:
        InputError: the groups of a batch cannot be shared out among the processes.
    """
    _require_shares(training, groups)
    steps = step_count(training.epochs, groups, training.groups_per_batch)
    every = max(1, -(-steps // training.evaluations))
    return CrossEncoderTrainingArguments(
        output_dir=str(folder.resolve()),
        run_name=name,
        per_device_train_batch_size=training.groups_per_batch // (processes.count() * training.accumulation),
        gradient_accumulation_steps=training.accumulation,
        **_checkpointing(training),
        max_steps=steps,
        learning_rate=training.learning_rate,
        learning_rate_mapping={HEAD: training.head_learning_rate},
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup,  # below 1 it is a share of all steps
        bf16=training.precision == "bf16",
        use_cpu=cpu,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{DEV_METRIC}",
        greater_is_better=True,
        logging_strategy="steps",
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,
        seed=seed,
        data_seed=seed,
        report_to=trainers_own(training.report_to),
        disable_tqdm=True,
        dataloader_pin_memory=False,
        # A step runs the model once a micro-batch, and another number of times in each process. So nothing may be
        # exchanged in the forward pass, which rules out buffers (constant here) and the search for unused parameters.
        ddp_broadcast_buffers=False,
        ddp_find_unused_parameters=False,
        dataloader_drop_last=processes.count() > 1,  # each process has to have as many batches as the others
    )


def _checkpointing(training: PickedTraining) -> dict[str, Any]:
    """Named only where it is asked for: transformers 5 warns of these names and has no others in all its versions."""
    if not training.gradient_checkpointing:
        return {}
    # The reentrant kind knows no frozen embeddings.
    return {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}


def _require_shares(training: PickedTraining, groups: int) -> None:
    groups_per_batch = training.groups_per_batch
    if groups_per_batch % processes.count():
        raise InputError(
            f"training.groups_per_batch is {groups_per_batch}, which {processes.count()} processes cannot share equally"
        )
    if groups_per_batch // processes.count() % training.accumulation:
        raise InputError(
            f"training.accumulation: {groups_per_batch // processes.count()} groups a step cannot be taken in "
            f"{training.accumulation} equal parts"
        )
    if processes.count() > 1 and groups < groups_per_batch:
        raise InputError(f"{groups} groups do not fill a batch of {groups_per_batch}: train with one process")

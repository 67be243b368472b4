"""Builds the arguments of `CrossEncoderTrainer` from a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

from crossforge.errors import InputError
from crossforge_train import processes
from crossforge_train.config.training import PickedTraining
from crossforge_train.training.history import DEV_FUSED, logged_as
from crossforge_train.training.model import HEAD
from crossforge_train.training.tracking import trainers_own


def step_count(epochs: float, groups: int, groups_per_batch: int) -> int:
    """Number of training steps in `epochs` passes over the groups, at least one."""
    return max(1, round(epochs * steps_per_pass(groups, groups_per_batch)))


def steps_per_pass(groups: int, groups_per_batch: int) -> int:
    """Number of training steps in one pass over the groups; the last one may take fewer groups.

    Several processes leave such a step out, and so make a little more than one pass in as many steps.
    """
    return -(-groups // groups_per_batch)


def arguments(training: PickedTraining, name: str, seed: int, folder: Path, groups: int, *, cpu: bool) -> Any:
    """The arguments of the trainer.

    Args:
        training: the config section.
        name: name of the run, for trackers.
        seed: seed of the run.
        folder: folder for checkpoints.
        groups: number of training groups.
        cpu: whether to train on the CPU.

    Raises:
        InputError: the groups of a batch cannot be divided equally among the processes and accumulation steps.
    """
    _require_shares(training, groups)
    steps = step_count(training.epochs, groups, training.groups_per_batch)
    every = max(1, -(-steps // training.evaluations))
    settings = CrossEncoderTrainingArguments(
        output_dir=str(folder.resolve()),
        run_name=name,
        per_device_train_batch_size=training.groups_per_batch // (processes.count() * training.accumulation),
        gradient_accumulation_steps=training.accumulation,
        **_checkpointing(training),
        max_steps=steps,
        learning_rate=training.learning_rate,
        learning_rate_mapping={HEAD: training.head_learning_rate},
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup,  # below 1, a share of all steps
        bf16=training.precision == "bf16",
        use_cpu=cpu,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=logged_as(DEV_FUSED),
        greater_is_better=True,
        logging_strategy="steps",
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,
        seed=seed,
        data_seed=seed,
        report_to=trainers_own(training.report_to),
        disable_tqdm=True,
        dataloader_pin_memory=False,
        # A step runs the model once per micro-batch, so a different number of times in each process. The forward pass
        # must not communicate, which rules out broadcasting buffers (constant here) and finding unused parameters.
        ddp_broadcast_buffers=False,
        ddp_find_unused_parameters=False,
        dataloader_drop_last=processes.count() > 1,  # all processes need equally many batches
    )
    return on_one_gpu(settings)


def on_one_gpu(settings: Any) -> Any:
    """Arguments with which a process trains on one GPU, in place.

    With more of them in sight, transformers would copy the model to each (`DataParallel`) and give each a whole batch.
    """
    settings._n_gpu = min(1, settings.n_gpu)
    return settings


def _checkpointing(training: PickedTraining) -> dict[str, Any]:
    """Set only on request: transformers 5 warns about these names, and no others work in all its versions."""
    if not training.gradient_checkpointing:
        return {}
    # Reentrant checkpointing does not support frozen embeddings.
    return {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}


def _require_shares(training: PickedTraining, groups: int) -> None:
    groups_per_batch = training.groups_per_batch
    if groups_per_batch % processes.count():
        raise InputError(
            f"training.groups_per_batch: {groups_per_batch} groups cannot be split equally among {processes.count()} "
            "processes"
        )
    if groups_per_batch // processes.count() % training.accumulation:
        raise InputError(
            f"training.accumulation: {groups_per_batch // processes.count()} groups per step cannot be split into "
            f"{training.accumulation} equal parts"
        )
    if processes.count() > 1 and groups < groups_per_batch:
        raise InputError(f"{groups} groups do not fill a batch of {groups_per_batch}: train with one process")

"""Runs sentence-transformers' `CrossEncoderTrainer`; the toolkit has no training loop of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import sentence_transformers.cross_encoder
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, ProgressCallback

from crossforge_train import processes
from crossforge_train.config.training import PickedTraining
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.training.arguments import arguments, steps_per_pass
from crossforge_train.training.checkpoints import KeepCheckpoints, last_whole_checkpoint, load_weights, state_at_the_end
from crossforge_train.training.collator import batch_collator
from crossforge_train.training.history import DEV_CUT, DEV_FUSED, DEV_METRIC, History, logged_as
from crossforge_train.training.picks import two_digits
from crossforge_train.training.preparation import Work
from crossforge_train.training.progress import TrainingProgress
from crossforge_train.training.schedule import KeepToTime, LinearSchedule
from crossforge_train.training.stopping import Patience, StopIfStuck
from crossforge_train.training.tracking import tensorboard_callback

_DEV = logged_as(DEV_METRIC)


class CrossEncoderTrainer(sentence_transformers.cross_encoder.CrossEncoderTrainer):
    """Loads checkpoints strictly: the parent class builds a new model from one and only logs mismatches.

    Nor does it describe the training data for a card of each checkpoint: those are deleted, and for that it would
    need a tokenizer, which a decoder and a reranker of several modules do not have here.

    Args:
        schedule: of the learning rate.
        **options: the parent's.
    """

    def __init__(self, *, schedule: LinearSchedule, **options: Any) -> None:
        super().__init__(**options)
        self._schedule = schedule

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """Follow the schedule, which may be shortened on the way."""
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, self._schedule)
        return self.lr_scheduler

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none."""

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        load_weights(self.model, Path(checkpoint_path))


def train(work: Work) -> History:
    """Train from the last complete checkpoint or from the start; the model ends with its best checkpoint's weights."""
    task, training = work.task, work.training
    cpu = work.model.device.type == "cpu"
    folder = task.files.checkpoints
    last = processes.from_main(lambda: last_whole_checkpoint(folder))
    settings = arguments(training, task.config.name, task.config.seed, folder, len(work.rows.dataset), cpu=cpu)
    schedule = LinearSchedule(settings.get_warmup_steps(settings.max_steps), settings.max_steps)
    loss = GroupLoss(work.model, training)
    trainer = CrossEncoderTrainer(
        schedule=schedule,
        model=work.model,
        args=settings,
        train_dataset=work.rows.dataset,
        loss=loss,
        evaluator=work.evaluator,
        data_collator=batch_collator(work.pipeline.reranker.tokenizer, training, cpu=cpu),
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    progress = TrainingProgress(task.reporter, work.evaluator, loss, training, work.pairs_per_query)
    patience = Patience(training.patience)
    # The first of these comes first, or the progress would count the time that it takes.
    for callback in (
        KeepCheckpoints(task.keep),
        progress,
        *_keeping_to_time(work, schedule, progress),
        patience,
        StopIfStuck(work.evaluator.chance(), work.evaluator.first_stage),
    ):
        trainer.add_callback(callback)
    if "tensorboard" in training.report_to and processes.is_main():
        trainer.add_callback(tensorboard_callback(task.tensorboard))
    if last:
        task.reporter.note(f"resuming from {last.name}")
    state = state_at_the_end(last, patience) if last else None
    if state:
        load_weights(work.model, folder / Path(state.best_model_checkpoint).name)
    else:
        with progress:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        state = trainer.state
    processes.wait_for_all()  # all of them read the best checkpoint
    return _history(work, state, settings.max_steps)


def _keeping_to_time(work: Work, schedule: LinearSchedule, progress: TrainingProgress) -> list[KeepToTime]:
    if work.step_minutes is None:
        return []
    return [KeepToTime(work.step_minutes, work.training.groups_per_batch, schedule, progress, work.task.reporter)]


def _as_trained(work: Work, steps: int, planned: int) -> PickedTraining:
    """The config section, with the epochs that a shortened training took."""
    training = work.training
    if steps == planned:
        return training
    epochs = two_digits(steps / steps_per_pass(len(work.rows.dataset), training.groups_per_batch))
    return training.model_copy(update={"epochs": epochs})


def _history(work: Work, state: Any, planned: int) -> History:
    best = next(entry for entry in state.log_history if entry["step"] == state.best_global_step and _DEV in entry)
    history = History(
        training=_as_trained(work, state.max_steps, planned),
        first_stage_dev=work.evaluator.first_stage,
        best_dev=best[_DEV],
        best_step=state.best_global_step,
        steps=state.global_step,
        groups=len(work.rows.dataset),
        device=str(work.model.device),
        cut_in_training=work.rows.cut,
        cut_on_dev=0.0,
        log=state.log_history,
        best_fused=best.get(logged_as(DEV_FUSED)),
    )
    cut = history.last(logged_as(DEV_CUT)) or 0.0
    if cut:
        work.task.reporter.note(f"{cut:.0%} of the dev candidates are too long to be read in full")
    return replace(history, cut_on_dev=cut)

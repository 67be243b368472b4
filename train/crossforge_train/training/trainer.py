"""Runs sentence-transformers' `CrossEncoderTrainer`; there is no training loop of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sentence_transformers.cross_encoder
from transformers import PrinterCallback, ProgressCallback

from crossforge_train import processes
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.reporting import Reporter
from crossforge_train.stages import Context
from crossforge_train.training.arguments import arguments
from crossforge_train.training.checkpoints import last_whole_checkpoint, load_weights, state_at_the_end
from crossforge_train.training.collator import batch_collator
from crossforge_train.training.picks import PICKED_FILE
from crossforge_train.training.preparation import Work
from crossforge_train.training.progress import TrainingProgress
from crossforge_train.training.rows import ROWS_FILE
from crossforge_train.training.start import START_FOLDER
from crossforge_train.training.stopping import Patience, StopIfStuck
from crossforge_train.training.tracking import tensorboard_callback


class CrossEncoderTrainer(sentence_transformers.cross_encoder.CrossEncoderTrainer):
    """Reads checkpoints strictly: by itself it builds a new model from one, and only logs what does not fit."""

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        load_weights(self.model, Path(checkpoint_path))


CHECKPOINTS = "checkpoints"
LEFT_BEHIND = (CHECKPOINTS, ROWS_FILE, PICKED_FILE, START_FOLDER)  # what only a run that goes on needs


def train(context: Context, work: Work) -> dict[str, Any]:
    """Train from the last whole checkpoint, or from the start; the model ends as its best checkpoint."""
    training = work.training
    cpu = work.model.device.type == "cpu"
    folder = context.folder / CHECKPOINTS
    last = processes.from_main(lambda: last_whole_checkpoint(folder))
    settings = arguments(training, context.config.name, context.config.seed, folder, len(work.rows.dataset), cpu=cpu)
    trainer = CrossEncoderTrainer(
        model=work.model,
        args=settings,
        train_dataset=work.rows.dataset,
        loss=GroupLoss(work.model, training),
        evaluator=work.evaluator,
        data_collator=batch_collator(work.pipeline.reranker.tokenizer, training, cpu=cpu),
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    progress = TrainingProgress(context.reporter, work.evaluator, work.model)
    patience = Patience(training.patience)
    for callback in (progress, patience, StopIfStuck(work.evaluator.chance(), work.evaluator.first_stage)):
        trainer.add_callback(callback)
    if "tensorboard" in training.report_to and processes.is_main():
        trainer.add_callback(tensorboard_callback(context.folder / "tensorboard"))
    if last:
        context.reporter.note(f"going on from {last.name}")
    state = state_at_the_end(last, settings.max_steps, patience) if last else None
    if state:
        load_weights(work.model, folder / Path(state.best_model_checkpoint).name)
    else:
        with progress:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        state = trainer.state
    processes.wait_for_all()  # the best checkpoint is read by all of them
    return {
        "training": training.model_dump(),
        "first_stage_dev": work.evaluator.first_stage,
        "best_dev": state.best_metric,
        "best_step": state.best_global_step,
        "steps": state.global_step,
        "precision": training.precision,
        "device": str(work.model.device),
        "groups": len(work.rows.dataset),
        "cut_documents": {
            "training": round(work.rows.cut, 4),
            "dev": round(_cut_on_dev(state.log_history, context.reporter), 4),
        },
        "log": state.log_history,
    }


def _cut_on_dev(log: Sequence[Mapping[str, Any]], reporter: Reporter) -> float:
    """Share of the dev candidates that are longer than what is read of them; told, like that of training."""
    measured = [entry["eval_dev_cut"] for entry in log if "eval_dev_cut" in entry]
    share = float(measured[-1]) if measured else 0.0
    if share:
        reporter.note(f"{share:.0%} of the dev candidates are longer than what is read of them")
    return share

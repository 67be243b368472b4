"""Configures and runs sentence-transformers' `CrossEncoderTrainer`; there is no training loop of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer
from transformers import PrinterCallback, ProgressCallback, set_seed

from crossforge.backends.torch import TorchBackend
from crossforge.errors import InputError
from crossforge.loading import Parts, holds_reranker, pair_tokenizer, token_limit
from crossforge.manifest import Manifest
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import read_run
from crossforge.tokenization import PairTokenizer
from crossforge_train import processes
from crossforge_train.collect import dev_split
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.mine import GROUPS_FILE, INDEX_FOLDER, run_file
from crossforge_train.mining.groups import stream_groups
from crossforge_train.reporting import Reporter
from crossforge_train.stages import Context
from crossforge_train.training.arguments import arguments
from crossforge_train.training.checkpoints import last_whole_checkpoint, load_weights, state_at_the_end
from crossforge_train.training.collator import GroupCollator
from crossforge_train.training.config import PickedTraining, TrainingConfig
from crossforge_train.training.dev_evaluator import DevEvaluator, DevSet
from crossforge_train.training.model import load_model
from crossforge_train.training.picks import (
    PICKED_FILE,
    Pick,
    Picker,
    learning_rate_by_size,
    pair_lengths,
    pick_distillation_weight,
    pick_epochs,
    pick_head_learning_rate,
    pick_learning_rate,
    pick_max_length,
)
from crossforge_train.training.precision import use_bf16
from crossforge_train.training.progress import TrainingProgress
from crossforge_train.training.range_test import drawn_batches, losses_by_rate, safe_multiple
from crossforge_train.training.rows import ROWS_FILE, Rows, make_rows
from crossforge_train.training.stopping import Patience, StopIfStuck
from crossforge_train.training.tracking import tensorboard_callback

CHECKPOINTS = "checkpoints"
LEFT_BEHIND = (CHECKPOINTS, ROWS_FILE, PICKED_FILE)  # what only a run that goes on needs
_CPU_TOKENS, _GPU_TOKENS = 2048, 32768  # padded tokens of a micro-batch


@dataclass(frozen=True)
class Work:
    """What a training run is made of."""

    model: CrossEncoder
    pipeline: RetrieveAndRerank
    rows: Rows
    evaluator: DevEvaluator
    bf16: bool
    training: PickedTraining


def prepare(context: Context, collection: Collection, base_model: Path, mined: Path) -> Work:
    """The model (with a fresh head if it has none), the training rows, and the dev evaluator around the model."""
    config = context.config
    picker = Picker(context.folder / PICKED_FILE, config.training, context.reporter)
    groups = partial(stream_groups, mined / GROUPS_FILE)
    limit = token_limit(base_model)
    max_length = int(
        picker.pick("max_length", lambda: pick_max_length(pair_lengths(groups(), collection, base_model, limit), limit))
    )
    set_seed(config.seed)  # before the head is initialised
    model = load_model(base_model, config.training.model_copy(update={"max_length": max_length}))
    bf16 = use_bf16(config.training.precision)
    tokenizer = pair_tokenizer(base_model, max_length)
    manifest = Manifest(config.base_model, max_length)
    reranker = Reranker.from_parts(Parts(tokenizer, TorchBackend(model.model, autocast=bf16), manifest))
    retriever = TfidfRetriever.load(context.stage("mine") / INDEX_FOLDER)
    pipeline = RetrieveAndRerank(collection.corpus, retriever, reranker, passages=config.evaluation.passages)
    training = config.training
    rows = make_rows(
        groups(), collection, config.collection.train, pipeline, training.long_documents,
        path=context.folder / ROWS_FILE, reporter=context.reporter,
    )  # fmt: skip
    dataset = rows.dataset
    if rows.cut:
        read = "the window that matches best" if training.long_documents == "best_window" else "the beginning"
        context.reporter.note(
            f"{rows.cut:.0%} of the training documents are longer than {max_length} tokens: {read} is read"
        )
    has_teacher = bool(dataset[0]["teacher"])
    if config.training.uses_teacher and not has_teacher:
        raise InputError(
            "training.distillation_weight needs a teacher, and the base model is no bi-encoder: set mining.teacher"
        )
    weight = picker.pick("distillation_weight", lambda: pick_distillation_weight(has_teacher=has_teacher))
    training = training.model_copy(update={"distillation_weight": weight})
    picker.pick("epochs", lambda: pick_epochs(len(dataset)))
    fresh = not holds_reranker(base_model)
    rate = picker.pick(
        "learning_rate",
        lambda: _rate_that_holds(training, config.seed, model, tokenizer, dataset, fresh_head=fresh, bf16=bf16),
    )
    picker.pick("head_learning_rate", lambda: pick_head_learning_rate(rate, fresh=fresh))
    evaluator = DevEvaluator(pipeline, _dev_set(context, collection), context.reporter)
    return Work(model, pipeline, rows, evaluator, bf16, picker.training())


def _dev_set(context: Context, collection: Collection) -> DevSet:
    config = context.config
    split = dev_split(config.collection)
    query_ids = seeded_draw(sorted(collection.qrels(split)), config.training.dev_queries, config.seed)
    return DevSet(
        queries={query_id: collection.queries[query_id] for query_id in query_ids},
        qrels={query_id: collection.qrels(split)[query_id] for query_id in query_ids},
        run=read_run(run_file(context.stage("mine"), split)),
        depth=config.training.dev_depth,
        metric=config.evaluation.metric,
    )


def train(context: Context, work: Work) -> dict[str, Any]:
    """Train from the last whole checkpoint, or from the start; the model ends as its best checkpoint."""
    training = work.training
    cpu = work.model.device.type == "cpu"
    folder = context.folder / CHECKPOINTS
    last = processes.from_main(lambda: last_whole_checkpoint(folder))
    settings = arguments(
        training, context.config.name, context.config.seed, folder, len(work.rows.dataset), bf16=work.bf16, cpu=cpu
    )
    trainer = CrossEncoderTrainer(
        model=work.model,
        args=settings,
        train_dataset=work.rows.dataset,
        loss=GroupLoss(work.model, training),
        evaluator=work.evaluator,
        data_collator=_collator(work.pipeline.reranker.tokenizer, work.model, training),
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
        "precision": "bf16" if work.bf16 else "fp32",
        "device": str(work.model.device),
        "groups": len(work.rows.dataset),
        "cut_documents": {
            "training": round(work.rows.cut, 4),
            "dev": round(_cut_on_dev(state.log_history, context.reporter), 4),
        },
        "log": state.log_history,
    }


def _collator(tokenizer: PairTokenizer, model: CrossEncoder, training: TrainingConfig) -> GroupCollator:
    tokens = _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS
    return GroupCollator(tokenizer, tokens, training.in_batch_negatives)


def _rate_that_holds(
    training: TrainingConfig,
    seed: int,
    model: CrossEncoder,
    tokenizer: PairTokenizer,
    dataset: Dataset,
    *,
    fresh_head: bool,
    bf16: bool,
) -> Pick:
    """By the size of the model, and lower if training falls apart at that rate on a few of the rows."""
    head = training.head_learning_rate
    rate = learning_rate_by_size(sum(value.numel() for value in model.parameters()))
    head_rate = pick_head_learning_rate(rate, fresh=fresh_head)[0] if isinstance(head, str) else head
    batches = drawn_batches(dataset, training.groups_per_batch, seed)
    collate = _collator(tokenizer, model, training)
    losses = losses_by_rate(GroupLoss(model, training), [collate(rows) for rows in batches], rate, head_rate, bf16=bf16)
    return pick_learning_rate(rate, safe_multiple(losses))


def _cut_on_dev(log: Sequence[Mapping[str, Any]], reporter: Reporter) -> float:
    """Share of the dev candidates that are longer than what is read of them; told, like that of training."""
    measured = [entry["eval_dev_cut"] for entry in log if "eval_dev_cut" in entry]
    share = float(measured[-1]) if measured else 0.0
    if share:
        reporter.note(f"{share:.0%} of the dev candidates are longer than what is read of them")
    return share

"""Configures and runs sentence-transformers' `CrossEncoderTrainer`; there is no training loop of our own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer
from transformers import PrinterCallback, ProgressCallback, set_seed

from crossforge.backends.torch import TorchBackend
from crossforge.loading import Parts, pair_tokenizer
from crossforge.manifest import Manifest
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import read_run
from crossforge_train.collect import dev_split
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.mine import GROUPS_FILE, INDEX_FOLDER, run_file
from crossforge_train.mining.groups import read_groups
from crossforge_train.stages import Context
from crossforge_train.training.arguments import arguments
from crossforge_train.training.checkpoints import last_whole_checkpoint
from crossforge_train.training.collator import GroupCollator
from crossforge_train.training.dev_evaluator import DevEvaluator, DevSet
from crossforge_train.training.model import load_model
from crossforge_train.training.precision import use_bf16
from crossforge_train.training.progress import TrainingProgress
from crossforge_train.training.rows import Rows, make_rows, readable

CHECKPOINTS = "checkpoints"
_CPU_TOKENS, _GPU_TOKENS = 2048, 32768  # padded tokens of a micro-batch


@dataclass(frozen=True)
class Work:
    """What a training run is made of."""

    model: CrossEncoder
    pipeline: RetrieveAndRerank
    rows: Rows
    evaluator: DevEvaluator
    bf16: bool


def prepare(context: Context, collection: Collection, base_model: Path, mined: Path) -> Work:
    """The model (with a fresh head if it has none), the training rows, and the dev evaluator around the model."""
    config = context.config
    set_seed(config.seed)  # before the head is initialised
    model = load_model(base_model, config.training)
    bf16 = use_bf16(config.training.precision)
    tokenizer = pair_tokenizer(base_model, config.training.max_length)
    manifest = Manifest(config.base_model, config.training.max_length)
    reranker = Reranker.from_parts(Parts(tokenizer, TorchBackend(model.model, autocast=bf16), manifest))
    retriever = TfidfRetriever.load(context.stage("mine") / INDEX_FOLDER)
    pipeline = RetrieveAndRerank(collection.corpus, retriever, reranker, passages=config.evaluation.passages)
    groups = readable(read_groups(mined / GROUPS_FILE), collection, pipeline, context.reporter)
    training = config.training
    rows = make_rows(groups, collection, config.collection.train, pipeline, training.long_documents)
    if rows.cut:
        read = "the window that matches best" if training.long_documents == "best_window" else "the beginning"
        context.reporter.note(
            f"{rows.cut:.0%} of the training documents are longer than {training.max_length} tokens: {read} is read"
        )
    evaluator = DevEvaluator(pipeline, _dev_set(context, collection), context.reporter)
    return Work(model, pipeline, rows, evaluator, bf16)


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
    training = context.config.training
    cpu = work.model.device.type == "cpu"
    folder = context.folder / CHECKPOINTS
    trainer = CrossEncoderTrainer(
        model=work.model,
        args=arguments(training, context.config.seed, folder, len(work.rows.dataset), bf16=work.bf16, cpu=cpu),
        train_dataset=work.rows.dataset,
        loss=GroupLoss(work.model, training),
        evaluator=work.evaluator,
        data_collator=GroupCollator(
            work.pipeline.reranker.tokenizer, _CPU_TOKENS if cpu else _GPU_TOKENS, training.in_batch_negatives
        ),
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    progress = TrainingProgress(context.reporter, work.evaluator, len(work.rows.dataset[0]["documents"]))
    trainer.add_callback(progress)
    last = last_whole_checkpoint(folder)
    if last:
        context.reporter.note(f"going on from {last.name}")
    with progress:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    return {
        "first_stage_dev": work.evaluator.first_stage,
        "best_dev": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
        "precision": "bf16" if work.bf16 else "fp32",
        "device": str(work.model.device),
        "groups": len(work.rows.dataset),
        "cut_documents": round(work.rows.cut, 4),
        "log": trainer.state.log_history,
    }

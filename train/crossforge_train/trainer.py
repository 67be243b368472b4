"""Configures and runs sentence-transformers' `CrossEncoderTrainer`; there is no training loop of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from transformers import PrinterCallback, ProgressCallback, set_seed

from crossforge.backends.torch import TorchBackend
from crossforge.errors import InputError
from crossforge.files import read_json, remove
from crossforge.loading import Parts, pair_tokenizer
from crossforge.manifest import Manifest
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import read_run
from crossforge_train.collator import GroupCollator
from crossforge_train.collect import dev_split
from crossforge_train.collections.collection import Collection
from crossforge_train.dev_evaluator import METRIC_NAME, DevEvaluator, DevSet
from crossforge_train.losses import GroupLoss
from crossforge_train.mine import GROUPS_FILE, INDEX_FOLDER, run_file
from crossforge_train.mining.groups import Group, read_groups
from crossforge_train.mining.negatives import drawn_queries
from crossforge_train.precision import use_bf16
from crossforge_train.stages import Context
from crossforge_train.training_progress import TrainingProgress

CHECKPOINTS = "checkpoints"
_HEAD = r"\bclassifier\b|\bscore\b"  # what transformers calls a fresh classification head
_CPU_TOKENS, _GPU_TOKENS = 2048, 32768  # padded tokens of a micro-batch


@dataclass(frozen=True)
class Work:
    """What a training run is made of."""

    model: CrossEncoder
    pipeline: RetrieveAndRerank
    dataset: Dataset
    evaluator: DevEvaluator
    bf16: bool


def prepare(context: Context, collection: Collection, base_model: Path, mined: Path) -> Work:
    """The model (with a fresh head if it has none), the training rows, and the dev evaluator around the model."""
    config = context.config
    set_seed(config.seed)  # before the head is initialised
    model = CrossEncoder(
        str(base_model),
        num_labels=1,
        max_length=config.training.max_length,
        activation_fn=torch.nn.Identity(),
        local_files_only=True,
        model_kwargs={"dtype": torch.float32, "attn_implementation": _attention()},
    )
    _set_dropout(model, config.training.dropout)
    bf16 = use_bf16(config.training.precision)
    tokenizer = pair_tokenizer(base_model, config.training.max_length)
    manifest = Manifest(config.base_model, config.training.max_length)
    reranker = Reranker.from_parts(Parts(tokenizer, TorchBackend(model.model, autocast=bf16), manifest))
    retriever = TfidfRetriever.load(context.stage("mine") / INDEX_FOLDER)
    pipeline = RetrieveAndRerank(collection.corpus, retriever, reranker, passages=config.evaluation.passages)
    groups = _readable(read_groups(mined / GROUPS_FILE), collection, pipeline, context)
    dataset = _dataset(groups, collection, pipeline)
    evaluator = DevEvaluator(pipeline, _dev_set(context, collection), context.reporter)
    return Work(model, pipeline, dataset, evaluator, bf16)


def _attention() -> str | None:
    """The attention that trains fastest: plain matrix products on a CPU, where the fused one is slow going backward.

    `benchmarks/training_step.py` measures it.
    """
    return None if torch.cuda.is_available() else "eager"


def _set_dropout(model: CrossEncoder, share: float) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share


def _readable(
    groups: Sequence[Group], collection: Collection, pipeline: RetrieveAndRerank, context: Context
) -> list[Group]:
    """The groups whose query leaves room for a document; queries are never cut."""
    kept = [group for group in groups if pipeline.reranker.tokenizer.fits(collection.queries[group.query_id])]
    if not kept:
        raise InputError(f"no training query leaves room for a document in {context.config.training.max_length} tokens")
    if dropped := len(groups) - len(kept):
        context.reporter.note(f"{dropped} groups left out: their query fills training.max_length by itself")
    return kept


def _dataset(groups: Sequence[Group], collection: Collection, pipeline: RetrieveAndRerank) -> Dataset:
    """Rows as `GroupCollator` takes them; of a long document the passage that serving would read."""

    def row(group: Group) -> dict[str, Any]:
        query = collection.queries[group.query_id]
        documents = [collection.corpus[doc_id] for doc_id in group.doc_ids]
        texts = [passages[0] for passages in pipeline.passages(query, documents)]
        return {"query": query, "documents": texts, "label": list(group.labels), "teacher": list(group.teacher)}

    return Dataset.from_list([row(group) for group in groups])


def _dev_set(context: Context, collection: Collection) -> DevSet:
    config = context.config
    split = dev_split(config.collection)
    query_ids = drawn_queries(sorted(collection.qrels(split)), config.training.dev_queries, config.seed)
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
    tokens = _CPU_TOKENS if work.model.device.type == "cpu" else _GPU_TOKENS
    loss = GroupLoss(work.model, training.loss, training.distillation_weight, training.distillation_temperature)
    trainer = CrossEncoderTrainer(
        model=work.model,
        args=_arguments(context, work),
        train_dataset=work.dataset,
        loss=loss,
        evaluator=work.evaluator,
        data_collator=GroupCollator(work.pipeline.reranker.tokenizer, tokens),
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    progress = TrainingProgress(context.reporter, work.evaluator, len(work.dataset[0]["documents"]))
    trainer.add_callback(progress)
    last = _last_whole_checkpoint(context.folder / CHECKPOINTS)
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
        "groups": len(work.dataset),
        "log": trainer.state.log_history,
    }


def _arguments(context: Context, work: Work) -> Any:
    training = context.config.training
    steps = max(1, round(training.epochs * len(work.dataset) / training.groups_per_batch))
    every = max(1, -(-steps // training.evaluations))
    return CrossEncoderTrainingArguments(
        output_dir=str((context.folder / CHECKPOINTS).resolve()),
        per_device_train_batch_size=training.groups_per_batch,
        max_steps=steps,
        learning_rate=training.learning_rate,
        learning_rate_mapping={_HEAD: training.head_learning_rate},
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup,  # below 1 it is a share of all steps
        bf16=work.bf16,
        use_cpu=work.model.device.type == "cpu",
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
        seed=context.config.seed,
        data_seed=context.config.seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; half-written ones are removed.

    The trainer writes `trainer_state.json` last, so a checkpoint that has it has everything else.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for checkpoint in reversed(found):
        try:
            read_json(checkpoint / "trainer_state.json")
            return checkpoint.resolve()
        except InputError:
            remove(checkpoint)
    return None

"""Stage `finetune`: configures sentence-transformers' `CrossEncoderTrainer`; there is no training loop of our own.

Also a script: `python -m crossforge_train.finetune CONFIG`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossforge.errors import InputError
from crossforge.files import read_json, remove, write_json
from crossforge.runs import read_run
from crossforge_train.base_model import find_base_model, weights_hash
from crossforge_train.collect import dev_split, read_collected
from crossforge_train.collections.collection import Collection
from crossforge_train.config import Config
from crossforge_train.evaluation.scoring import CONSTANT_SPREAD
from crossforge_train.libraries import quieten
from crossforge_train.mine import GROUPS_FILE, INDEX_FOLDER, run_file
from crossforge_train.mining.groups import Group, read_groups
from crossforge_train.mining.negatives import drawn_queries
from crossforge_train.precision import use_bf16
from crossforge_train.stages import Context, Stage, require_free_space, versions

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

    from crossforge.pipeline import RetrieveAndRerank
    from crossforge_train.dev_evaluator import DevEvaluator, DevSet

MODEL_FOLDER = "model"
_CHECKPOINTS = "checkpoints"
_HEAD = r"\bclassifier\b|\bscore\b"  # what transformers calls a fresh classification head
_CPU_TOKENS, _GPU_TOKENS = 2048, 32768  # padded tokens of a micro-batch


@dataclass(frozen=True)
class _Work:
    """What the trainer is built from."""

    model: CrossEncoder
    pipeline: RetrieveAndRerank
    dataset: Dataset
    evaluator: DevEvaluator
    bf16: bool


def _depends_on(config: Config) -> Mapping[str, Any]:
    return {
        "training": config.training.model_dump(),
        "base_model": weights_hash(config.base_model),
        "metric": config.evaluation.metric,
        "passages": config.evaluation.passages,
        "seed": config.seed,
        "versions": versions("crossforge", "torch", "transformers", "sentence-transformers"),
    }


def _run(context: Context) -> None:
    quieten()
    config = context.config
    base_model = find_base_model(config.base_model)
    require_free_space(context.folder, 20 * _weights_size(base_model), "fine-tuning")
    collection = read_collected(context.stage("collect"))
    work = _prepare(context, collection, base_model)
    history = _train(context, work)
    _require_ranking(history)
    _save(context, work.model, base_model)
    write_json(context.folder / "history.json", history)
    remove(context.folder / _CHECKPOINTS)


def _prepare(context: Context, collection: Collection, base_model: Path) -> _Work:
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import set_seed

    from crossforge.backends.torch import TorchBackend
    from crossforge.loading import Parts, pair_tokenizer
    from crossforge.manifest import Manifest
    from crossforge.pipeline import RetrieveAndRerank
    from crossforge.reranker import Reranker
    from crossforge.retrievers.tfidf import TfidfRetriever
    from crossforge_train.dev_evaluator import DevEvaluator

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
    documents = list(collection.corpus.values())
    retriever = TfidfRetriever.load(context.stage("mine") / INDEX_FOLDER)
    pipeline = RetrieveAndRerank(documents, retriever, reranker, passages=config.evaluation.passages)
    groups = _readable(read_groups(context.stage("mine") / GROUPS_FILE), collection, pipeline, context)
    dataset = _dataset(groups, collection, pipeline)
    evaluator = DevEvaluator(pipeline, _dev_set(context, collection), context.reporter)
    return _Work(model, pipeline, dataset, evaluator, bf16)


def _attention() -> str | None:
    """The attention that trains fastest: plain matrix products on a CPU, where the fused one is slow going backward.

    Measured on 2 cores in bf16 (16 pairs of 128 tokens, no dropout): 9.1 pairs/s plain, 8.0 fused.
    """
    import torch

    return None if torch.cuda.is_available() else "eager"


def _set_dropout(model: CrossEncoder, share: float) -> None:
    import torch

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
    from datasets import Dataset

    def row(group: Group) -> dict[str, Any]:
        query = collection.queries[group.query_id]
        documents = [collection.corpus[doc_id] for doc_id in group.doc_ids]
        texts = [passages[0] for passages in pipeline.passages(query, documents)]
        return {"query": query, "documents": texts, "label": list(group.labels), "teacher": list(group.teacher)}

    return Dataset.from_list([row(group) for group in groups])


def _dev_set(context: Context, collection: Collection) -> DevSet:
    from crossforge_train.dev_evaluator import DevSet

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


def _train(context: Context, work: _Work) -> dict[str, Any]:
    """Train from the last whole checkpoint, or from the start; the model ends as its best checkpoint."""
    from sentence_transformers.cross_encoder import CrossEncoderTrainer
    from transformers import PrinterCallback, ProgressCallback

    from crossforge_train.collator import GroupCollator
    from crossforge_train.losses import GroupLoss
    from crossforge_train.training_progress import TrainingProgress

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
    last = _last_whole_checkpoint(context.folder / _CHECKPOINTS)
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


def _arguments(context: Context, work: _Work) -> Any:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    from crossforge_train.dev_evaluator import METRIC_NAME

    training = context.config.training
    steps = max(1, round(training.epochs * len(work.dataset) / training.groups_per_batch))
    every = max(1, -(-steps // training.evaluations))
    return CrossEncoderTrainingArguments(
        output_dir=str((context.folder / _CHECKPOINTS).resolve()),
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


def _require_ranking(history: Mapping[str, Any]) -> None:
    spreads = [entry["eval_dev_spread"] for entry in history["log"] if "eval_dev_spread" in entry]
    if not spreads or spreads[-1] < CONSTANT_SPREAD:
        raise InputError(
            "training failed: the model gives every document of a query the same score, so it ranks nothing; "
            "raise training.head_learning_rate or training.epochs, or give it a teacher (mining.teacher: base, "
            "training.distillation_weight: 1)"
        )


def _save(context: Context, model: CrossEncoder, base_model: Path) -> None:
    from crossforge_train.packaging.checkpoint import export_onnx, save_checkpoint

    folder = context.folder / MODEL_FOLDER
    remove(folder)
    with context.reporter.bar("exporting to ONNX", 1) as advance:
        save_checkpoint(model.model, base_model, folder, context.config.training.max_length)
        export_onnx(model.model, folder)
        advance()


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


def _weights_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


STAGE = Stage("finetune", _depends_on, _run, resumes=True)


if __name__ == "__main__":
    from crossforge_train.cli import run_script

    run_script("finetune")

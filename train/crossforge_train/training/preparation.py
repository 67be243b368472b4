"""Prepares a training run: the model, the rows, the dev evaluator, and a value for every `auto`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sentence_transformers import CrossEncoder
from transformers import set_seed

from crossforge.backends.torch import TorchBackend
from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge.loading import Parts, pair_tokenizer, token_limit
from crossforge.long_documents import FIRST_WINDOW, LongDocuments
from crossforge.manifest import Manifest
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.registry import kind_of
from crossforge.tokenization import PairTokenizer
from crossforge_train import processes
from crossforge_train.collections.collection import Collection, mostly_asked_by_people, mostly_judged_by_people
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.config.lora import LoraConfig
from crossforge_train.config.run import Config
from crossforge_train.config.training import PickedTraining, TrainingConfig
from crossforge_train.evaluation.fusion_weight import doubtful, flatters
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.mining.teachers import base_alone_teaches
from crossforge_train.models.base_model import parameter_count
from crossforge_train.precision import faster_in_bf16, use_bf16
from crossforge_train.training.checkpoints import last_whole_checkpoint
from crossforge_train.training.collator import batch_collator
from crossforge_train.training.dev_evaluator import DevEvaluator, DevSet
from crossforge_train.training.merging import tried_shares
from crossforge_train.training.model import load_model
from crossforge_train.training.picks import (
    Picker,
    pair_lengths,
    pick_distillation_weight,
    pick_lora,
    pick_max_length,
    pick_merge,
    pick_precision,
)
from crossforge_train.training.range_test import left_as_it_was
from crossforge_train.training.reading import MEASURED_DEPTH, MEASURED_QUERIES, pick_long_documents
from crossforge_train.training.rows import Rows, make_rows
from crossforge_train.training.start import StartingModel, fitting_pairs, starting_model
from crossforge_train.training.task import TrainingTask
from crossforge_train.training.timing import Pace, pairs_per_query
from crossforge_train.training.trial import Trial, pick_by_trial, trial_batches

_TIMED_LENGTH = 128


@dataclass(frozen=True)
class Work:
    """A prepared training run.

    Attributes:
        task: the inputs.
        start: the model that training starts from.
        model: the model in training.
        pipeline: the pipeline around it.
        rows: the training rows.
        evaluator: measures dev.
        training: the config section, with every `auto` resolved.
        pairs_per_query: pairs of a dev query.
        step_minutes: at a given pace, how many minutes the steps may take; None: as many as they need.
    """

    task: TrainingTask
    start: StartingModel
    model: CrossEncoder
    pipeline: RetrieveAndRerank
    rows: Rows
    evaluator: DevEvaluator
    training: PickedTraining
    pairs_per_query: float
    step_minutes: Callable[[Pace], float] | None


def prepare(task: TrainingTask) -> Work:
    """Prepare the model (with a fresh head if it has none), the training rows, and the model's dev evaluator.

    Raises:
        InputError: every query of a split is too long to be read, or the config needs a teacher and there is none.
    """
    began = time.monotonic()
    config, reporter, base_model, collection = task.config, task.reporter, task.base_model, task.collection
    begun = processes.from_main(lambda: last_whole_checkpoint(task.files.checkpoints) is not None)
    picker = Picker(task.files.picked, config.training, reporter, begun=begun)
    adapters = picker.pick("lora", lambda: pick_lora(parameter_count(base_model)))
    limit = token_limit(base_model)
    max_length = int(
        picker.pick(
            "max_length", lambda: pick_max_length(pair_lengths(task.groups(), collection, base_model, limit), limit)
        )
    )
    tokenizer, dev = pair_tokenizer(base_model, max_length), config.collection.dev_split
    measured = (dev, *config.collection.test_splits)
    _require_readable(tokenizer, {split: collection.split_queries(split) for split in measured})
    start = starting_model(task, fitting_pairs(task.groups(), collection, tokenizer, config.seed), max_length)
    set_seed(config.seed)  # before a fresh head is initialised
    lora = LoraConfig(**adapters) if isinstance(adapters, dict) else adapters
    config = config.model_copy(update={"training": config.training.model_copy(update={"lora": lora})})
    model = load_model(start.folder, config.training.model_copy(update={"max_length": max_length}))
    bf16 = picker.pick("precision", lambda: _faster_precision(model, max_length)) == "bf16"
    judged_dev = judged_queries(collection.qrels(dev))
    asked, judged = (by_people(collection, dev) for by_people in (mostly_asked_by_people, mostly_judged_by_people))
    reader = partial(_pipeline, task, start.folder, model, max_length, bf16)

    def evaluator_of(read: LongDocuments) -> DevEvaluator:
        query_ids = seeded_draw(sorted(judged_dev), MEASURED_QUERIES, config.seed)
        return DevEvaluator(reader(read), _dev_set(task, query_ids, MEASURED_DEPTH), reporter)

    read = picker.pick(
        "long_documents",
        lambda: pick_long_documents(start.head, judged_by_people=judged, evaluator_of=evaluator_of),
    )
    pipeline = reader(read)
    rows = make_rows(
        task.groups(), collection, config.collection.train, pipeline, path=task.files.rows, reporter=reporter
    )
    if rows.cut:
        part = "the beginning" if read == FIRST_WINDOW else "the best-matching window"
        reporter.note(f"{rows.cut:.0%} of the training documents are longer than {max_length} tokens: {part} is read")
    shares = picker.pick("merge", lambda: pick_merge(start.head, asked_by_people=asked))
    merges = len(tried_shares(shares)) if start.head != "fresh" else 0
    training = _pick_distillation(picker, config, collection, rows)
    collate = batch_collator(pipeline.reranker.tokenizer, training, cpu=model.device.type == "cpu")
    batches = trial_batches(rows.dataset, collate, training.groups_per_batch, config.seed)
    per_query = pairs_per_query(training.dev_depth, config.evaluation.passages, rows.cut)
    trial = Trial(training, GroupLoss(model, training), batches, per_query, bf16)
    step_minutes = pick_by_trial(
        picker,
        trial,
        start.head,
        groups=len(rows.dataset),
        dev_queries=len(judged_dev),
        merges=merges,
        spent=(time.monotonic() - began) / 60,
    )
    picked = picker.training()
    query_ids = processes.from_main(lambda: _dev_queries(task, picked.dev_queries, begun=begun))
    evaluator = DevEvaluator(pipeline, _dev_set(task, query_ids, picked.dev_depth), reporter)
    return Work(task, start, model, pipeline, rows, evaluator, picked, per_query, step_minutes)


def _require_readable(tokenizer: PairTokenizer, splits: Mapping[str, Mapping[str, str]]) -> None:
    """Raise `InputError` for a split on which nothing could be chosen or measured, before hours of training."""
    for split, queries in splits.items():
        if not any(map(tokenizer.fits, queries.values())):
            raise InputError(
                f"split {split}: none of its {len(queries):,} queries leaves room for a document in "
                f"{tokenizer.max_length} tokens; raise training.max_length, or shorten the queries"
            )


def _pipeline(
    task: TrainingTask,
    start: Path,
    model: CrossEncoder,
    max_length: int,
    bf16: bool,
    long_documents: LongDocuments,
) -> RetrieveAndRerank:
    """The pipeline that an app would run, around the model in training."""
    parts = Parts(
        pair_tokenizer(start, max_length),
        TorchBackend(model.model, autocast=bf16),
        Manifest(task.config.base_model, max_length, long_documents=long_documents),
    )
    passages = task.config.evaluation.passages
    return RetrieveAndRerank(task.collection.corpus, task.retriever, Reranker.from_parts(parts), passages=passages)


def _pick_distillation(picker: Picker, config: Config, collection: Collection, rows: Rows) -> TrainingConfig:
    """The config section with the weight of the teacher's scores."""
    training, has_teacher = config.training, bool(rows.dataset[0]["teacher"])
    if training.uses_teacher and not has_teacher:
        raise InputError(
            "training.distillation_weight needs a teacher, and the base model is not a bi-encoder: set mining.teacher"
        )
    if not training.label_weight and not has_teacher:
        raise InputError("training.label_weight is 0 and there is no teacher: nothing is left to learn from")
    judged = training.label_weight > 0 and mostly_judged_by_people(collection, config.collection.train)
    rule = partial(
        pick_distillation_weight,
        has_teacher=has_teacher,
        mistaken=rows.mistaken,
        start_teaches=judged and base_alone_teaches(config),
    )
    return training.model_copy(update={"distillation_weight": picker.pick("distillation_weight", rule)})


def _dev_queries(task: TrainingTask, limit: int, *, begun: bool) -> list[str]:
    """Draw up to `limit` dev queries that have a relevant document; a training that goes on keeps those that it had."""
    if task.files.dev_queries.is_file():
        kept: list[str] = read_json(task.files.dev_queries)
        return kept
    qrels = task.collection.qrels(task.config.collection.dev_split)
    # Earlier versions wrote no such file, and also drew queries without a relevant document.
    drawn = seeded_draw(sorted(qrels if begun else judged_queries(qrels)), limit, task.config.seed)
    write_json(task.files.dev_queries, drawn)
    return drawn


def _dev_set(task: TrainingTask, query_ids: Sequence[str], depth: int) -> DevSet:
    config, collection = task.config, task.collection
    split, kind = config.collection.dev_split, kind_of(task.retriever)
    qrels = collection.qrels(split)
    return DevSet(
        queries={query_id: collection.queries[query_id] for query_id in query_ids},
        qrels={query_id: qrels[query_id] for query_id in query_ids},
        run=task.dev_run,
        depth=depth,
        metric=config.evaluation.metric,
        seed=config.seed,
        flatters=flatters(kind, collection, split),
        doubtful=doubtful(kind),
    )


def _faster_precision(model: CrossEncoder, max_length: int) -> tuple[str, str]:
    """Time both precisions with the model on a CPU, restoring it afterwards; on a GPU, ask the device."""
    if model.device.type != "cpu":
        return ("bf16", "because the GPU has it") if use_bf16("auto") else ("fp32", "because the GPU has no bf16")
    with left_as_it_was(model):
        return pick_precision(faster_in_bf16(model.model, min(_TIMED_LENGTH, max_length)))

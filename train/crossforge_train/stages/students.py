"""Stages `teach`, `student-6`, `student-4` and so on: shallower students of the trained reranker, distilled from it.

`teach` scores the training groups with the reranker that was trained last; each student is that reranker without some
of its layers, trained on these scores as any model is trained. Which of them ships is for `evaluate` to pick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossforge.backends.choice import AUTO
from crossforge.errors import InputError
from crossforge.files import written_atomically
from crossforge.heads.choice import named_head
from crossforge.heads.one_label import OneLabel
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge_train import processes
from crossforge_train.config.run import Config
from crossforge_train.libraries import quieten
from crossforge_train.models.base_model import find_base_model, is_bi_encoder
from crossforge_train.models.layers import transformer_layers
from crossforge_train.pair_scoring import backend_for
from crossforge_train.run_folder import TEACH as TEACH_NAME
from crossforge_train.run_folder import student_stage
from crossforge_train.stage_folders import FinetunedFolder, MinedFolder, StudentFolder
from crossforge_train.stages.finetune import begun, finetune
from crossforge_train.stages.stage import Context, Stage

if TYPE_CHECKING:
    from crossforge_train.training.students import Lesson


def student(layers: int) -> Stage:
    """The stage that makes the student of so many layers."""
    return Stage(
        student_stage(layers),
        lambda config: {"layers": layers},  # all else that it depends on is in the earlier stages' fingerprints
        partial(_learn, layers),
        resumes=True,
        begun=begun,
        parallel=True,
        check=partial(_check, layers),
    )


def _teach(context: Context) -> None:
    quieten()
    teacher = _teacher(context)
    reranker = Reranker(teacher.model, backend=backend_for(AUTO))
    taught = _lesson(context, reranker).taught(_groups(context).groups, context.reporter)
    MinedFolder(context.folder).save_groups(taught)


def _learn(layers: int, context: Context) -> None:
    from crossforge_train.training.students import depth_of, student_training

    quieten()
    whole = _teacher(context)
    if (depth := depth_of(whole.model)) <= layers:
        context.reporter.note(f"package.layers: no student of {layers} layers, the trained reranker has {depth}")
        return
    start = StudentFolder(context.folder).working_files.start
    processes.from_main(lambda: _shallower(context, layers, start))
    training = student_training(context.config.training, whole.history.training)
    config = context.config.model_copy(update={"training": training})
    leave_out = f"leave {layers} out of package.layers"
    finetune(replace(context, config=config), start, context.run.taught, leave_out)


def _shallower(context: Context, layers: int, folder: Path) -> None:
    """Write the model that a student's training starts from, unless an attempt that was killed did."""
    from crossforge_train.models.export import save_checkpoint

    if folder.is_dir():
        return
    whole = _teacher(context)
    lesson = _lesson(context, Reranker(whole.model, backend="torch"))
    with context.reporter.bar("choosing the layers that stay", 1) as advance:
        model, kept = lesson.shallower(whole.model, layers, context.run.taught.groups, context.config.seed)
        advance()
    context.reporter.note(
        f"layers {', '.join(str(number + 1) for number in kept.layers)} of {kept.of} stay: without training, their "
        f"scores follow the reranker's with a correlation of {kept.correlation:.2f}"
    )
    StudentFolder(context.folder).save_kept(kept)
    read = whole.history.training
    with written_atomically(folder) as beside:
        save_checkpoint(model, whole.model, beside, read.max_length, read.long_documents)


def _lesson(context: Context, reranker: Reranker) -> Lesson:
    from crossforge_train.training.students import Lesson

    collection = context.run.collected.collection()
    pipeline = RetrieveAndRerank(collection.corpus, context.run.mined.retriever(), reranker, passages=1)
    return Lesson(collection, pipeline)


def _teacher(context: Context) -> FinetunedFolder:
    return context.run.last_finetuned(context.config.mining.rounds)


def _groups(context: Context) -> MinedFolder:
    """The groups that the teacher was trained on last."""
    return context.run.mined if context.config.mining.rounds == 1 else context.run.mined_again


def _check(layers: int, config: Config) -> None:
    """Raise `InputError` if the reranker that will be trained cannot have more layers than the student."""
    depth = _depth(config.base_model)
    if depth > layers:
        return
    depth += _added(config)
    if depth <= layers:
        raise InputError(
            f"package.layers: {layers} is not below the {depth} layers that {config.base_model} is trained with"
        )


@cache
def _depth(base_model: str) -> int:
    """How many layers the one-label classifier of a base model has, which is made without weights to find them."""
    quieten()
    import torch
    from transformers import AutoConfig

    folder = find_base_model(base_model)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    try:
        with torch.device("meta"):
            model = (named_head(folder) or OneLabel()).drafted(folder, config)
        return len(transformer_layers(model))
    except Exception as error:  # transformers raises many types
        reason = str(error) if isinstance(error, InputError) else type(error).__name__
        raise InputError(
            f"package.layers: {base_model} cannot be made shallower: {reason}; leave the key out"
        ) from error


def _added(config: Config) -> int:
    """How many layers training may add: those that compare, where it starts from a bi-encoder's cosines."""
    from crossforge_train.grafting.graft import ADDED_LAYERS, obstacle

    folder = find_base_model(config.base_model)
    grafts = config.training.start != "fresh_head" and is_bi_encoder(folder) and not obstacle(folder)
    return ADDED_LAYERS if grafts else 0


def _nothing_more(config: Config) -> Mapping[str, Any]:
    """Nothing: what the trained reranker and the groups depend on is in the earlier stages' fingerprints."""
    return {}


TEACH = Stage(TEACH_NAME, _nothing_more, _teach)

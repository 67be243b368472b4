"""Stage `finetune`: trains a cross-encoder on the groups and exports its best checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from crossforge.errors import InputError
from crossforge.files import remove
from crossforge.loading import holds_reranker, require_positions
from crossforge.prompts import Prompts
from crossforge_train import processes
from crossforge_train.config.prompts import PromptsConfig
from crossforge_train.config.run import Config
from crossforge_train.config.training import AUTO, PickedTraining, TrainingConfig
from crossforge_train.evaluation.scoring import CONSTANT_SPREAD
from crossforge_train.libraries import quieten
from crossforge_train.models.base_model import base_hash, find_base_model, is_bi_encoder, parameter_count
from crossforge_train.models.base_texts import own_prompts, require_texts, with_texts
from crossforge_train.registries import DISTILLATIONS, LOSSES
from crossforge_train.run_folder import FINETUNE
from crossforge_train.stage_folders import FinetunedFolder, MinedFolder
from crossforge_train.stages.first_stage import base_query_map
from crossforge_train.stages.stage import Context, Stage, require_free_space
from crossforge_train.stages.tuned_encoder import with_tuned_encoder
from crossforge_train.training.history import DEV_SPREAD, History, logged_as
from crossforge_train.training.lora import merge_adapters, require_lora
from crossforge_train.training.picks import FORMERLY, pick_lora
from crossforge_train.training.task import TrainingTask
from crossforge_train.training.tracking import require_trackers
from crossforge_train.versions import versions

if TYPE_CHECKING:
    from crossforge_train.training.preparation import Work

_IF_CONSTANT = (
    "raise training.head_learning_rate or training.epochs, or add a teacher (mining.teacher: base, "
    "training.distillation_weight: 1)"
)


def _depends_on(config: Config) -> Mapping[str, Any]:
    # Checked here so that a missing library is reported before the first stage runs.
    require_trackers(config.training.report_to)
    base_model = find_base_model(config.base_model)
    parameters, own = parameter_count(base_model), _prompts_to_keep(config.training, base_model)
    _require_lora(config.training, parameters)
    _require_merge(config)
    return {
        "training": _without_auto(config.training, parameters),
        "base_model": base_hash(config.base_model),
        "metric": config.evaluation.metric,
        "passages": config.evaluation.passages,
        "seed": config.seed,
        **({"prompts": asdict(own)} if own else {}),
        "versions": versions("crossforge", "torch", "transformers", "sentence-transformers"),
        **LOSSES.version(config.training.loss),
        **DISTILLATIONS.version(config.training.distillation),
    }


def _without_auto(training: TrainingConfig, parameters: int) -> dict[str, Any]:
    """The section's fingerprint, with what `lora: auto` comes to: with a small model it is what `null` is."""
    return {**training.fingerprint(), **({"lora": pick_lora(parameters)[0]} if training.lora == AUTO else {})}


def _formerly(config: Config, depends_on: Mapping[str, Any]) -> Mapping[str, Any]:
    """Earlier versions did not pick these: they trained all weights, however large the model, for one."""
    training = config.training
    was = {key: value for key, value in FORMERLY.items() if getattr(training, key) == AUTO}
    return {**depends_on, "training": training.model_copy(update=was).fingerprint()}


def _require_lora(training: TrainingConfig, parameters: int) -> None:
    by_size = training.lora == AUTO
    wanted = pick_lora(parameters)[0] is not None if by_size else training.lora is not None
    why = f"; or set training.lora: null, to train all {parameters / 1e6:,.0f} million parameters" if by_size else ""
    require_lora(wanted=wanted, why=why)


def _check(config: Config) -> None:
    from crossforge_train.stages.base_check import require_trainable

    training, base_model = config.training, find_base_model(config.base_model)
    if isinstance(training.max_length, int):
        require_positions(base_model, training.max_length)
    require_trainable(config.base_model)
    require_texts(base_model, training.instruction, training.prompts.texts)


def _require_merge(config: Config) -> None:
    """Raise `InputError` if `training.merge` is set but the starting model cannot rank."""
    training, base_model = config.training, find_base_model(config.base_model)
    grafts = is_bi_encoder(base_model) and training.start != "fresh_head"
    if training.merge not in (AUTO, ()) and not (grafts or holds_reranker(base_model)):
        raise InputError(
            f"training.merge mixes in the starting weights, but {config.base_model} starts with a fresh head; leave it "
            "out"
        )


def begun(folder: Path) -> bool:
    """Whether a killed training has left a whole checkpoint in the stage's folder."""
    quieten()
    from crossforge_train.training.checkpoints import last_whole_checkpoint

    return last_whole_checkpoint(FinetunedFolder(folder).working_files.checkpoints) is not None


def _run(context: Context) -> None:
    base_model = find_base_model(with_tuned_encoder(context.config, context.run.mined).base_model)
    context = _with_own_prompts(context, base_model)
    training, files = context.config.training, FinetunedFolder(context.folder).working_files
    spoken_to = processes.from_main(
        lambda: with_texts(base_model, files.base, training.instruction, training.prompts.texts)
    )
    finetune(context, spoken_to, context.run.mined)


def _with_own_prompts(context: Context, base_model: Path) -> Context:
    """The inputs with the prompts of the bi-encoder that training starts from, unless the config has others."""
    config, training = context.config, context.config.training
    own = _prompts_to_keep(training, base_model)
    if not own:
        return context
    context.reporter.note(f"training.prompts: {own.query!r} and {own.document!r}, the bi-encoder's own")
    prompts = PromptsConfig(query=own.query, document=own.document)
    with_prompts = training.model_copy(update={"prompts": prompts})
    return replace(context, config=config.model_copy(update={"training": with_prompts}))


def _prompts_to_keep(training: TrainingConfig, base_model: Path) -> Prompts:
    """The base model's own prompts, if it is to be grafted with them."""
    own = own_prompts(base_model) if is_bi_encoder(base_model) else Prompts()
    if training.prompts.texts or not own or training.start == "fresh_head":
        return Prompts()
    from crossforge_train.grafting.graft import obstacle

    quieten()
    if obstacle(base_model):
        return Prompts()
    try:
        require_texts(base_model, None, own)
    except InputError:  # a tokenizer that cannot hold them
        return Prompts()
    return own


def finetune(context: Context, base_model: Path, mined: MinedFolder, if_constant: str = _IF_CONSTANT) -> None:
    """Train a model on the groups of a mining stage, and save it with its history.

    Args:
        context: of the stage.
        base_model: folder of the model.
        mined: folder of the groups.
        if_constant: what to do if it gives all documents the same score, for the error.

    Raises:
        InputError: training failed.
    """
    quieten()
    # Imported late, like everything that loads torch: reading a config and mining do not need it.
    from crossforge_train.training import preparation, trainer

    require_free_space(context.folder, 20 * _weights_size(base_model), "fine-tuning")
    written = FinetunedFolder(context.folder)
    work = preparation.prepare(training_task(context, base_model, mined))
    history = trainer.train(work)
    if work.training.lora:
        merge_adapters(work.model.model)
    if processes.is_main():
        _require_ranking(history, if_constant)
        if work.training.merge and work.start.head != "fresh":
            history = _merged(context, work, history)
        _save(context, work.model.model, work.start.folder, work.training)
        written.save_history(history)
        for left in asdict(written.working_files).values():
            remove(left)


def training_task(context: Context, base_model: Path, mined: MinedFolder) -> TrainingTask:
    """The inputs of a training in the stage's folder."""
    config, run, written = context.config, context.run, FinetunedFolder(context.folder)
    retriever = run.mined.retriever()
    return TrainingTask(
        config=config,
        reporter=context.reporter,
        collection=run.collected.collection(),
        base_model=base_model,
        groups=mined.groups,
        retriever=retriever,
        query_map=base_query_map(config, retriever),
        dev_run=run.mined.run(config.collection.dev_split),
        files=written.working_files,
        tensorboard=written.tensorboard,
        keep=lambda: context.keep(written.resumable),
    )


def _require_ranking(history: History, if_not: str) -> None:
    spread = history.last(logged_as(DEV_SPREAD))
    if spread is None or spread < CONSTANT_SPREAD:
        raise InputError(
            "training failed: the model gives every document of a query the same score, so it ranks nothing; " + if_not
        )


def _merged(context: Context, work: Work, history: History) -> History:
    """Mix in a share of the starting weights: a fixed one, or the one that ranks dev best beside the first stage."""
    from crossforge_train.training.merging import merge_with_start, tried_shares

    alone: list[float] = []

    def fused() -> list[float]:
        found = work.evaluator.by_query()
        alone.append(fmean(found.alone))
        return found.fused

    shares = tried_shares(work.training.merge)
    share, measured = merge_with_start(work.model.model, work.start.folder, shares, fused, context.config.seed)
    by_share = dict(zip(measured, alone, strict=True))
    figures = ", ".join(f"{tried:g}: {value:.4f} ({by_share[tried]:.4f} alone)" for tried, value in measured.items())
    context.reporter.note(
        f"dev by share of the starting weights, fused with the first stage: {figures}; kept {share:g}"
    )
    return history.with_merged(share, by_share[share], measured[share])


def _save(context: Context, model: Any, start: Path, training: PickedTraining) -> None:
    from crossforge_train.models.export import export_onnx, save_checkpoint

    folder = FinetunedFolder(context.folder).model
    remove(folder)
    with context.reporter.bar("exporting to ONNX", 1) as advance:
        save_checkpoint(model, start, folder, training.max_length, training.long_documents)
        export_onnx(model, folder)
        advance()


def _weights_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


STAGE = Stage(FINETUNE, _depends_on, _run, resumes=True, begun=begun, parallel=True, formerly=_formerly, check=_check)

"""Stage `finetune`: trains a cross-encoder on the groups and exports its best checkpoint.

Also a script: `python -m crossforge_train.finetune CONFIG`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossforge.errors import InputError
from crossforge.files import read_json, remove, write_json
from crossforge.loading import holds_reranker
from crossforge_train import processes
from crossforge_train.base_model import find_base_model, is_bi_encoder, weights_hash
from crossforge_train.collect import read_collected
from crossforge_train.config import Config
from crossforge_train.evaluation.scoring import CONSTANT_SPREAD
from crossforge_train.libraries import quieten
from crossforge_train.stages import Context, Stage, require_free_space, versions
from crossforge_train.training.config import AUTO, PickedTraining
from crossforge_train.training.lora import merge_adapters, require_lora
from crossforge_train.training.tracking import require_trackers

if TYPE_CHECKING:
    from crossforge_train.training.preparation import Work

MODEL_FOLDER = "model"
HISTORY_FILE = "history.json"


def _depends_on(config: Config) -> Mapping[str, Any]:
    # Here, so that a missing library shows before the first stage runs.
    require_trackers(config.training.report_to)
    require_lora(config.training.lora)
    _require_merge(config)
    return {
        "training": config.training.model_dump(exclude={"report_to"}),
        "base_model": weights_hash(config.base_model),
        "metric": config.evaluation.metric,
        "passages": config.evaluation.passages,
        "seed": config.seed,
        "versions": versions("crossforge", "torch", "transformers", "sentence-transformers"),
    }


def _require_merge(config: Config) -> None:
    """Raise if weights are to be mixed in of a start that ranks nothing."""
    training, base_model = config.training, find_base_model(config.base_model)
    grafts = is_bi_encoder(base_model) and training.start != "fresh_head"
    if training.merge not in (AUTO, ()) and not (grafts or holds_reranker(base_model)):
        raise InputError(
            f"training.merge mixes in what training starts from, and {config.base_model} starts with a fresh head"
        )


def _run(context: Context) -> None:
    finetune(context, find_base_model(context.config.base_model), context.stage("mine"))


def finetune(context: Context, start: Path, mined: Path) -> None:
    """Train the model in the folder `start` on the groups in the folder `mined`."""
    quieten()
    # Imported late, like everything that brings torch: reading a config and mining start without it.
    from crossforge_train.training import preparation, trainer

    require_free_space(context.folder, 20 * _weights_size(start), "fine-tuning")
    collection = read_collected(context.stage("collect"))
    work = preparation.prepare(context, collection, start, mined)
    history = trainer.train(context, work)
    if work.training.lora:
        merge_adapters(work.model.model)
    if processes.is_main():
        _require_ranking(history)
        if work.training.merge and work.start.head != "fresh":
            history |= _merged(context, work, history["best_dev"])
        _save(context, work.model.model, start, work.training.max_length)
        write_json(context.folder / HISTORY_FILE, history)
        for left in trainer.LEFT_BEHIND:
            remove(context.folder / left)


def trained_with(finetuned: Path) -> PickedTraining:
    """The section `training` that the model in a finished stage's folder was trained with, nothing left to `auto`."""
    return PickedTraining(**read_json(finetuned / HISTORY_FILE)["training"])


def _require_ranking(history: Mapping[str, Any]) -> None:
    spreads = [entry["eval_dev_spread"] for entry in history["log"] if "eval_dev_spread" in entry]
    if not spreads or spreads[-1] < CONSTANT_SPREAD:
        raise InputError(
            "training failed: the model gives every document of a query the same score, so it ranks nothing; "
            "raise training.head_learning_rate or training.epochs, or give it a teacher (mining.teacher: base, "
            "training.distillation_weight: 1)"
        )


def _merged(context: Context, work: Work, quality: float) -> dict[str, Any]:
    """Mix in weights of what training started from, one share or the best on dev; gives what the history says of it."""
    from crossforge_train.training.dev_evaluator import METRIC_NAME
    from crossforge_train.training.merging import merge_with_start

    merge = work.training.merge
    # A list may find that none is best, one share is mixed in whatever dev says.
    shares, known = ((merge,), {}) if isinstance(merge, float) else (merge, {0.0: quality})
    share, measured = merge_with_start(
        work.model.model, work.start.folder, shares, known, lambda: work.evaluator(work.model)[METRIC_NAME]
    )
    figures = ", ".join(f"{tried:g}: {value:.4f}" for tried, value in measured.items())
    context.reporter.note(f"dev by the share of the starting weights: {figures}; {share:g} is kept")
    return {"start_share": share, "best_dev": measured[share]}


def _save(context: Context, model: Any, base_model: Path, max_length: int) -> None:
    from crossforge_train.packaging.checkpoint import export_onnx, save_checkpoint

    folder = context.folder / MODEL_FOLDER
    remove(folder)
    with context.reporter.bar("exporting to ONNX", 1) as advance:
        save_checkpoint(model, base_model, folder, max_length)
        export_onnx(model, folder)
        advance()


def _weights_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


STAGE = Stage("finetune", _depends_on, _run, resumes=True, parallel=True)


if __name__ == "__main__":
    from crossforge_train.cli import run_script

    run_script("finetune")

"""Training throughput (pairs per second), ours and stock: `python benchmarks/training_throughput.py CONFIG ...`.

Mines groups from each config's training split once. Three trainers then take turns, round after round, so that other
load on the machine affects all of them equally: sentence-transformers' `CrossEncoderTrainer` on labelled pairs with
binary cross-entropy and default settings (fp32, rows padded in their given order), the same in bf16, and ours. All get
the same groups, pairs per step and `max_length`. Model FLOPs are 6 × parameters of the trainer's layers × non-padding
tokens; divided by the device's peak FLOP/s, the rate gives its utilization. Our model may be a graft, which has more
layers than the base model that stock trains.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sentence_transformers.cross_encoder as stock
import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from crossforge.errors import InputError
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.config.training import PickedTraining
from crossforge_train.libraries import quieten
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.models.base_model import find_base_model
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages.finetune import training_task
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages
from crossforge_train.stages.stage import Context
from crossforge_train.training import preparation
from crossforge_train.training.arguments import arguments, on_one_gpu
from crossforge_train.training.collator import batch_collator

LOGGING_STEPS = 500  # each log waits for a GPU
STOCK, STOCK_BF16, OURS = "stock", "stock, bf16", "ours"
# Nothing is measured on dev here, and a teacher would change the loss, not the speed.
OVERRIDES = ("mining.teacher=null", "training.distillation_weight=0", "training.dev_queries=1", "evaluation.bm25=false")


@dataclass(frozen=True)
class Turn:
    """One trainer's work in one turn, warm-up excluded.

    Attributes:
        layers: parameters that each token was multiplied by.
        seconds: what the work took.
        pairs: pairs trained on.
        tokens: their tokens.
        positions: tokens and padding.
    """

    layers: int
    seconds: float
    pairs: int
    tokens: int
    positions: int


def main() -> None:
    """Print a table of all configs."""
    options = _options()
    quieten()
    print(f"{torch.get_num_threads()} threads, {options.rounds} rounds of {options.steps} steps", file=sys.stderr)
    print("| rows | trainer | pairs/s | times stock | times stock bf16 | padding | model GFLOP/s |")
    print("|---|---|---|---|---|---|---|")
    for path in options.configs:
        try:
            _measure(path, options)
        except InputError as error:
            print(f"skipped {path}: {error}", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4, help="steps per turn")
    parser.add_argument("--groups", type=int, default=64, help="groups to mine; a turn trains on some of them")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _measure(path: Path, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        overrides = [*OVERRIDES, f"runs={folder}", f"training.max_length={options.max_length}"]
        config = load_config(path, [*overrides, f"mining.max_queries={options.groups}"])
        if config.training.mini_batch:
            raise InputError("training.mini_batch: what a model reads twice would count twice; remove the key")
        run_stages(config, stages_until(config, "mine"), SilentReporter())
        context = Context(config, SilentReporter(), Path(folder) / "work")
        context.folder.mkdir()
        work = preparation.prepare(training_task(context, find_base_model(config.base_model), context.run.mined))
        turns: dict[str, list[Turn]] = {STOCK: [], STOCK_BF16: [], OURS: []}
        pairs = _labelled_pairs(work.rows.dataset)
        batch = round(config.training.groups_per_batch * len(pairs) / len(work.rows.dataset))
        for _ in range(options.rounds):
            turns[STOCK].append(_stock_turn(config, pairs, batch, options, bf16=False))
            turns[STOCK_BF16].append(_stock_turn(config, pairs, batch, options, bf16=True))
            turns[OURS].append(_our_turn(context, work, options))
    _print(config.name, turns)


def layer_parameters(model: torch.nn.Module) -> int:
    """Number of parameters that each token is multiplied by: all but the embeddings."""
    return sum(value.numel() for name, value in model.named_parameters() if "embeddings" not in name)


def _labelled_pairs(rows: Dataset) -> Dataset:
    pairs = [
        {"query": row["query"], "document": document, "label": float(label)}
        for row in rows
        for document, label in zip(row["documents"], row["label"], strict=True)
    ]
    return Dataset.from_list(pairs)


class Counter:
    """Counts the pairs, tokens and positions that reach a transformers model's token embeddings.

    sentence-transformers calls the model's `forward` directly, which bypasses hooks on the model.
    """

    def __init__(self, model: Any) -> None:
        self._padding = model.config.pad_token_id
        self._hook = model.get_input_embeddings().register_forward_pre_hook(self._count)
        self.restart()

    def restart(self) -> None:
        """Count from zero."""
        self.pairs = self.positions = 0
        self._tokens: list[torch.Tensor] = []

    @property
    def tokens(self) -> int:
        """Tokens without padding; they are added up here, because a GPU would be waited for at each batch."""
        return sum(int(tokens) for tokens in self._tokens)

    def _count(self, _: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        (ids,) = inputs
        self.pairs += len(ids)
        self._tokens.append((ids != self._padding).sum())
        self.positions += ids.numel()

    def stop(self) -> None:
        """Stop counting."""
        self._hook.remove()


class Clock(TrainerCallback):
    """Measures the seconds of all steps after the warm-up, in which buffers and kernels are set up.

    Args:
        counter: counts anew from the end of the warm-up.
        warm_up: steps that do not count.
        seconds: time after which the training is stopped, however many steps it has.
    """

    def __init__(self, counter: Counter, warm_up: int = 1, seconds: float = float("inf")) -> None:
        self.seconds = 0.0
        self._counter, self._warm_up, self._limit = counter, warm_up, seconds
        self._started = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start after the warm-up; then note the time, and stop when it is up."""
        if state.global_step == self._warm_up:
            wait_for_device()
            self._counter.restart()
            self._started = time.perf_counter()
        elif state.global_step > self._warm_up:
            time_is_up = time.perf_counter() - self._started >= self._limit
            if time_is_up or state.global_step == state.max_steps:
                wait_for_device()
                control.should_training_stop = True
            self.seconds = time.perf_counter() - self._started


def wait_for_device() -> None:
    """Wait until a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def turn(
    model: Any,
    dataset: Dataset,
    loss: Any,
    settings: Any,
    collator: Any = None,
    *,
    warm_up: int = 1,
    seconds: float = float("inf"),
) -> Turn:
    """Train a `CrossEncoder` and measure it; see `Clock` for the last two arguments."""
    counter = Counter(model.model)
    clock = Clock(counter, warm_up, seconds)
    trainer = stock.CrossEncoderTrainer(
        model=model, args=settings, train_dataset=dataset, loss=loss, data_collator=collator, callbacks=[clock]
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    counter.stop()
    return Turn(layer_parameters(model.model), clock.seconds, counter.pairs, counter.tokens, counter.positions)


def stock_settings(folder: Path, batch: int, steps: int, seed: int, *, bf16: bool) -> Any:
    """The stock trainer's arguments out of the box, with `batch` rows per step."""
    settings = stock.CrossEncoderTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch,
        max_steps=steps,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        save_strategy="no",
        logging_steps=LOGGING_STEPS,
        report_to="none",
        disable_tqdm=True,
    )
    return on_one_gpu(settings)


def our_settings(training: PickedTraining, folder: Path, groups: int, steps: int, seed: int, *, cpu: bool) -> Any:
    """The toolkit's arguments for a training on `groups` rows, without checkpoints and dev."""
    settings = arguments(training, "ours", seed, folder, groups, cpu=cpu)
    changed = replace(
        settings, max_steps=steps, eval_strategy="no", save_strategy="no", load_best_model_at_end=False,
        logging_steps=LOGGING_STEPS,
    )  # fmt: skip
    return on_one_gpu(changed)


def _stock_turn(config: Config, pairs: Dataset, batch: int, options: argparse.Namespace, *, bf16: bool) -> Turn:
    model = stock.CrossEncoder(
        str(find_base_model(config.base_model)), num_labels=1, max_length=options.max_length, local_files_only=True
    )
    settings = stock_settings(config.folder / "stock", batch, options.steps, config.seed, bf16=bf16)
    return turn(model, pairs, stock.losses.BinaryCrossEntropyLoss(model), settings)


def _our_turn(context: Context, work: preparation.Work, options: argparse.Namespace) -> Turn:
    training, cpu = work.training, work.model.device.type == "cpu"
    settings = our_settings(
        training, context.folder, len(work.rows.dataset), options.steps, context.config.seed, cpu=cpu
    )
    collator = batch_collator(work.pipeline.reranker.tokenizer, training, cpu=cpu)
    return turn(work.model, work.rows.dataset, GroupLoss(work.model, training), settings, collator)


def _print(name: str, turns: Mapping[str, Sequence[Turn]]) -> None:
    """Print each trainer's fastest turn, the one least slowed by other load on the machine."""
    best = {trainer: max(found, key=lambda turn: turn.pairs / turn.seconds) for trainer, found in turns.items()}
    rates = {trainer: turn.pairs / turn.seconds for trainer, turn in best.items()}
    for trainer, turn in best.items():
        flops = 6 * turn.layers * turn.tokens / turn.seconds / 1e9
        print(
            f"| {name} | {trainer} | {rates[trainer]:.1f} | {rates[trainer] / rates[STOCK]:.2f} "
            f"| {rates[trainer] / rates[STOCK_BF16]:.2f} | {1 - turn.tokens / turn.positions:.1%} | {flops:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

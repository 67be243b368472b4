"""Ablate a recipe, or compare the losses: `python benchmarks/ablation.py CONFIG`.

Trains the config unchanged and with one change at a time, and measures each variant on dev as training does (with as
many queries and candidates as `training.dev_queries` and `dev_depth` set), alone and mixed with the first stage; test
is never touched. The mixture's weight is chosen on four fifths of these queries and measured on the last, in turn; its
gain over the first stage has its standard error. Where `dev_queries`
and `evaluations` are `auto`, all variants get 100 and 4, however fast they are; `training.minutes` may still shorten
`epochs: auto`, more so for slower variants, unless --set training.minutes=null. `--losses` compares the losses instead,
each without a teacher or merging. Results are kept under --out and reused, so an interrupted run resumes where it
stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from dev_values import fused, values_on_dev
from numpy.typing import NDArray

from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train import registries
from crossforge_train.cli.display import RichReporter
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.config.training import PickedTraining
from crossforge_train.run_folder import FINETUNE, RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import reuse, run_stages
from crossforge_train.sweep.runner import measured_alike

FRESH_HEAD = ["training.start=fresh_head", "training.learning_rate=3e-4", "training.head_learning_rate=2e-3"]
NO_TEACHER = "training.distillation_weight=0"
TEACHER = ["mining.teacher=base", "training.distillation_weight=1"]
PARTS: Mapping[str, Sequence[str]] = {
    "as it is": [],
    "two epochs": ["training.epochs=2"],
    "four epochs": ["training.epochs=4"],
    "fresh head, body 3e-4, head 2e-3": FRESH_HEAD,
    "fresh head, one rate of 3e-4": [*FRESH_HEAD[:2], "training.head_learning_rate=3e-4"],
    "nothing of the start mixed in": ["training.merge=[]"],
    "no teacher": [NO_TEACHER],
    "the base as a teacher": TEACHER,
    "a quarter of the teacher": [*TEACHER, "training.distillation_weight=0.25"],
    "no labels": [*TEACHER, "training.label_weight=0"],
    "no random negative": ["mining.random_negatives=0"],
    "ten negatives": ["mining.negatives=10"],
    "a draw of negatives": ["mining.choice=sample"],
    "the first negatives": ["mining.choice=top"],
    "128 tokens": ["training.max_length=128"],
    "a second round": ["mining.rounds=2"],
}
LOSSES: Mapping[str, Sequence[str]] = {
    loss: [f"training.loss={loss}", NO_TEACHER, "training.merge=[]"] for loss in registries.LOSSES.plugins()
}


def main() -> None:
    """Train the missing variants and print a table of all of them."""
    options = _options()
    variants = LOSSES if options.losses else PARTS
    chosen = options.only or list(variants)
    if unknown := set(chosen) - set(variants):
        sys.exit(f"--only: unknown variant {unknown.pop()!r}; expected one of: {'; '.join(variants)}")
    rows = []
    for name in chosen:
        try:
            rows.append(_row(options, name, variants[name]))
        except InputError as error:
            print(f"skipped {name!r}: {error}", file=sys.stderr)
    print("| variant | groups | training | dev nDCG@10 | first stage | mixed | gain |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--losses", action="store_true", help="compare losses instead of parts of the recipe")
    parser.add_argument("--only", action="append", metavar="VARIANT", help="run only this variant; repeatable")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def _config(options: argparse.Namespace, name: str, changes: Sequence[str]) -> Config:
    """A variant's config; dev is measured in all of them alike."""
    folder = "-".join("".join(sign if sign.isalnum() else " " for sign in name).split())
    named = [f"runs={options.out / options.config.stem}", f"name={folder}-{options.seed}", f"seed={options.seed}"]
    return measured_alike(load_config(options.config, [*named, *options.overrides, *changes]))


def _row(options: argparse.Namespace, name: str, changes: Sequence[str]) -> str:
    config = _config(options, name, changes)
    stages = stages_until(config, FINETUNE)
    reuse(config, stages, sorted(config.folder.parent.glob("*")))  # most variants share their mining
    run_stages(config, stages, RichReporter())
    run = RunFolder(config.folder)
    history = run.last_finetuned(config.mining.rounds).history
    seconds = sum(read_json(path)["seconds"] for path in run.record(FINETUNE).parent.glob("finetune*.json"))
    mixed = fused(_values(config, run, history.training), config.seed)
    figures = f"{history.best_dev:.3f} | {history.first_stage_dev:.3f} | {mixed.mean:.3f}"
    gain = f"{mixed.gain:+.3f} ± {mixed.error:.3f}"
    return f"| {name} | {history.groups:,} | {seconds / 60:.0f} min | {figures} | {gain} |"


def _values(config: Config, run: RunFolder, training: PickedTraining) -> NDArray[np.float64]:
    dev, metric, rounds = config.collection.dev_split, config.evaluation.metric, config.mining.rounds
    return values_on_dev(run, dev, metric, training.dev_queries, training.dev_depth, config.seed, rounds)


if __name__ == "__main__":
    main()

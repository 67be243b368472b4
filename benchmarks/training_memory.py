"""Peak memory of training steps, with and without `mini_batch`: `python benchmarks/training_memory.py`.

Each variant runs in its own process: two steps (forward, backward, optimizer) over groups of eight documents of 128
tokens. The table shows peak resident memory above the level before the first step, which already includes the model:
the activations, gradients and optimizer state. `MALLOC_MMAP_THRESHOLD_=65536` makes glibc return freed memory to the
system; by default it retains fragments, more of them the more micro-batches there are. The same setting works for a
training run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time
import warnings
from typing import Any

import torch

from crossforge.loading import pair_tokenizer
from crossforge_train.config.training import TrainingConfig
from crossforge_train.libraries import quieten
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.models.base_model import find_base_model
from crossforge_train.training.collator import batch_collator
from crossforge_train.training.model import load_model

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DOCUMENTS, LENGTH, STEPS = 8, 128, 2
VARIANTS: dict[str, dict[str, Any]] = {
    "whole step": {},
    "mini_batch 2048": {"mini_batch": 2048},
    "gradient_checkpointing": {"gradient_checkpointing": True},
}


def main() -> None:
    """Print a table with one row per number of groups and variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, nargs="+", default=[8, 32], help="groups per step")
    options = parser.parse_args()
    print("| groups | variant | MiB | seconds a step |\n|---|---|---|---|")
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"  # read by the child processes
    for groups in options.groups:
        for name in VARIANTS:
            process = multiprocessing.get_context("spawn").Process(target=_measure, args=(name, groups))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)


def _measure(name: str, groups: int) -> None:
    quieten()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    torch.manual_seed(0)
    base = find_base_model(MODEL)
    config = TrainingConfig(max_length=LENGTH, distillation_weight=0, **VARIANTS[name])
    model = load_model(base, config).train()
    if config.gradient_checkpointing:
        model.model.gradient_checkpointing_enable({"use_reentrant": False})
    loss = GroupLoss(model, config)
    row = {"query": "a query", "documents": ["word " * (2 * LENGTH)] * DOCUMENTS, "label": [1] + [0] * (DOCUMENTS - 1)}
    batch = batch_collator(pair_tokenizer(base, LENGTH), config, cpu=True)([row] * groups)
    label = batch.pop("label")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    before = _peak()
    started = time.perf_counter()
    for _ in range(STEPS):
        loss(list(batch.values()), label).backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = (time.perf_counter() - started) / STEPS
    print(f"| {groups} | {name} | {_peak() - before:.0f} | {seconds:.1f} |", flush=True)


def _peak() -> float:
    """Peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

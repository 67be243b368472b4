"""Training-step throughput (pairs per second) of model variants: `python benchmarks/training_step.py`.

Varies dropout, the attention implementation, a last layer computed for the first token only, and compilation. The
variants take turns, round after round, and each one's fastest round counts, so the ratios hold on a busy machine.
"""

from __future__ import annotations

import argparse
from itertools import product

import torch
from transformers import AutoModelForSequenceClassification

from crossforge.backends.last_layer import shorten_last_layer
from crossforge_train.libraries import quieten
from crossforge_train.models.base_model import find_base_model
from crossforge_train.precision import step_seconds, use_bf16

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PAIRS, LENGTH, ROUNDS = 16, 128, 5


def main() -> None:
    """Time every variant and print a table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    quieten()
    bf16 = use_bf16("auto")
    variants = {
        f"dropout {dropout}, attention {attention}": _model(dropout, attention)
        for dropout, attention in product((0.1, 0.0), ("sdpa", "eager"))
    }
    short = variants["dropout 0.0, attention eager, short last layer"] = _model(0.0, "eager")
    shorten_last_layer(short)
    # One shape only. Training's micro-batches have many; each would need its own compilation or a slower path.
    compiled = variants["dropout 0.0, attention sdpa, compiled"] = _model(0.0, "sdpa")
    compiled.compile()
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(ROUNDS + 1):  # the first round only warms up; it counts too, but a later one will beat it
        for name, model in variants.items():
            best[name] = min(best[name], step_seconds(model, PAIRS, LENGTH, bf16=bf16))
    slowest = max(best.values())
    print(f"{PAIRS} pairs of {LENGTH} tokens, {'bf16' if bf16 else 'fp32'}, {torch.get_num_threads()} threads")
    for name, seconds in best.items():
        print(f"{name:48} {PAIRS / seconds:6.1f} pairs/s, {slowest / seconds:.2f} x")


def _model(dropout: float, attention: str) -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForSequenceClassification.from_pretrained(
        find_base_model(MODEL), num_labels=1, attn_implementation=attention, dtype=torch.float32
    )
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return model.train()


if __name__ == "__main__":
    main()

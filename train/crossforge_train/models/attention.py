"""Which of transformers' implementations of attention a model is trained with."""

from __future__ import annotations


def training_attention() -> str | None:
    """The one that trains fastest: plain on a CPU, where the backward pass of fused attention is slow; None is default.

    `benchmarks/training_step.py` measures this.
    """
    import torch

    return None if torch.cuda.is_available() else "eager"

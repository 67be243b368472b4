"""Observes how large a bi-encoder's activations are on sample texts; the marks of a graft are fitted to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

_TOKENS = 64  # read of each text; the statistics are over tokens, not over texts

Spreads = Mapping[str, "Spread"]


class Spread(NamedTuple):
    """Statistics of the vectors that enter a LayerNorm, over all tokens but [CLS] unless said otherwise.

    Attributes:
        deviation: the median of the standard deviations within each vector.
        offset: the mean of the vectors' means, each in units of its standard deviation.
        first: the standard deviation of [CLS], in units of `deviation`; texts hardly differ in it.
    """

    deviation: float
    offset: float
    first: float


def embeddings_norm() -> str:
    """Name of the LayerNorm whose output the first layer reads."""
    return "embeddings.LayerNorm"


def attention_norm(layer: int) -> str:
    """Name of the LayerNorm after a layer's attention."""
    return f"encoder.layer.{layer}.attention.output.LayerNorm"


def layer_norm(layer: int) -> str:
    """Name of the LayerNorm at the end of a layer."""
    return f"encoder.layer.{layer}.output.LayerNorm"


@torch.no_grad()
def observe(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> Spreads:
    """Run texts through a `BertModel`; LayerNorm name -> spread of what enters it."""
    seen: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, inputs, __, name=name: seen.update({name: inputs[0]}))
        for name, module in encoder.named_modules()
        if name.endswith("LayerNorm")
    ]
    batch = tokenizer(list(texts), padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt")
    try:
        encoder(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    first = batch["input_ids"] == tokenizer.cls_token_id
    others = batch["attention_mask"].bool() & ~first
    return {name: _spread(entering[others], entering[first]) for name, entering in seen.items()}


def _spread(vectors: Tensor, first: Tensor) -> Spread:
    deviations = vectors.std(1)
    typical = float(deviations.median())
    return Spread(typical, float((vectors.mean(1) / deviations).mean()), float(first.std(1).median()) / typical)

"""Observes a bi-encoder's activations on sample texts; a graft is fitted to their means and covariances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_TOKENS = 64  # read of each text; the statistics are over tokens, not over texts
_RIDGE = 1e-3  # relative to the mean variance; makes a covariance of few tokens invertible


@dataclass(frozen=True)
class Spread:
    """Statistics of a LayerNorm's input vectors, over all tokens but [CLS].

    Attributes:
        deviations: standard deviation within each vector, shape (tokens,).
        offset: mean over tokens of each vector's mean, in units of its standard deviation.
    """

    deviations: Tensor
    offset: Tensor

    @property
    def deviation(self) -> Tensor:
        """The typical deviation: the median."""
        return self.deviations.median()

    @property
    def ratios(self) -> Tensor:
        """Each deviation relative to the typical one, shape (tokens,)."""
        return self.deviations / self.deviation


@dataclass(frozen=True)
class Activations:
    """Recorded activations of a bi-encoder.

    Attributes:
        entering: LayerNorm name -> spread of its input.
        leaving: LayerNorm name -> its output, shape (tokens, hidden), without padding.
        is_cls: whether each token is [CLS], shape (tokens,).
    """

    entering: Mapping[str, Spread]
    leaving: Mapping[str, Tensor]
    is_cls: Tensor

    def cls_direction(self, name: str) -> Tensor:
        """The vector whose dot product with a LayerNorm's output is about 1 higher for [CLS] than for other tokens.

        It is the direction of Fisher's linear discriminant. [CLS] hardly varies between texts, so it stands out.
        """
        others = self.leaving[name][~self.is_cls]
        covariance = invertible(torch.cov(others.T))
        apart = self.leaving[name][self.is_cls].mean(0) - others.mean(0)
        direction: Tensor = torch.linalg.solve(covariance, apart)
        direction /= direction @ apart
        return direction


def invertible(covariance: Tensor) -> Tensor:
    """A covariance, shape (hidden, hidden), made invertible by adding a little of its mean variance to the diagonal."""
    return covariance + _RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance))


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
def observe(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> Activations:
    """Run texts through a `BertModel` and record the inputs and outputs of its LayerNorms."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs[0], output)}))
        for name, module in encoder.named_modules()
        if name.endswith("LayerNorm")
    ]
    batch = tokenizer(list(texts), padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt")
    try:
        encoder(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    present = batch["attention_mask"].bool()
    is_cls = (batch["input_ids"] == tokenizer.cls_token_id)[present]
    return Activations(
        {name: _spread(before[present][~is_cls]) for name, (before, _) in seen.items()},
        {name: after[present] for name, (_, after) in seen.items()},
        is_cls,
    )


def _spread(vectors: Tensor) -> Spread:
    deviations = vectors.std(1)
    return Spread(deviations, (vectors.mean(1) / deviations).mean())

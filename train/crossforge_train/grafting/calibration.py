"""What flows through a bi-encoder over a sample of texts: the means and covariances that a graft is fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_TOKENS = 64  # of each text; the statistics are of tokens, not of texts
_RIDGE = 1e-3  # of the mean variance, so that a covariance of few tokens can be inverted


@dataclass(frozen=True)
class Spread:
    """Of the vectors that enter a LayerNorm, over tokens other than [CLS].

    Attributes:
        deviations: the standard deviation within each vector, shape (tokens,).
        offset: the mean over tokens of a vector's mean, in its deviations.
    """

    deviations: Tensor
    offset: Tensor

    @property
    def deviation(self) -> Tensor:
        """The usual one: the median."""
        return self.deviations.median()

    @property
    def ratios(self) -> Tensor:
        """Each one to the usual one, shape (tokens,)."""
        return self.deviations / self.deviation


@dataclass(frozen=True)
class Activations:
    """What was seen of a bi-encoder.

    Attributes:
        entering: by the name of each LayerNorm, the spread of what enters it.
        leaving: by the name of each LayerNorm, what leaves it, shape (tokens, hidden); padding is left out.
        is_cls: which of these tokens are [CLS], shape (tokens,).
    """

    entering: Mapping[str, Spread]
    leaving: Mapping[str, Tensor]
    is_cls: Tensor

    def cls_direction(self, name: str) -> Tensor:
        """The vector whose dot product with what leaves a LayerNorm is about 1 higher for [CLS] than for other tokens.

        That of Fisher's linear discriminant; [CLS] is much the same in all texts, so it stands out clearly.
        """
        others = self.leaving[name][~self.is_cls]
        covariance = invertible(torch.cov(others.T))
        apart = self.leaving[name][self.is_cls].mean(0) - others.mean(0)
        direction: Tensor = torch.linalg.solve(covariance, apart)
        direction /= direction @ apart
        return direction


def invertible(covariance: Tensor) -> Tensor:
    """A covariance, shape (hidden, hidden), with a little of its mean variance more on the diagonal."""
    return covariance + _RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance))


def embeddings_norm() -> str:
    """The name of the LayerNorm that the first layer reads."""
    return "embeddings.LayerNorm"


def attention_norm(layer: int) -> str:
    """The name of the LayerNorm after a layer's attention."""
    return f"encoder.layer.{layer}.attention.output.LayerNorm"


def layer_norm(layer: int) -> str:
    """The name of the LayerNorm at a layer's end."""
    return f"encoder.layer.{layer}.output.LayerNorm"


@torch.no_grad()
def observe(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> Activations:
    """Run texts through a `BertModel` and keep what its LayerNorms read and write."""
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

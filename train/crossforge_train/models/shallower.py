"""Makes a model shallower: some of its transformer layers stay, and all that is around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossforge_train.models.layers import transformer_layers

# The first and the last layer stay: some architectures' first one is made differently (ModernBERT), and the last one is
# what the head was trained on; in a graft it is the one that compares.
LEAST = 2


@dataclass(frozen=True)
class Kept:
    """Which layers of a model stayed.

    Attributes:
        layers: their numbers, from 0, in order.
        of: how many there were.
        correlation: of the shallower model's logits with the whole one's within a query, before any training.
    """

    layers: Sequence[int]
    of: int
    correlation: float


def ways_to_keep(layers: int, kept: int) -> list[tuple[int, ...]]:
    """Numbers of the layers that may stay, each way once and in order; which is best differs by model and task.

    Evenly spaced: V. Sanh et al., "DistilBERT", 2019; S. Shleifer and A. Rush, "Pre-trained summarization
    distillation", 2020. The lowest and the highest, or as many of the lowest as can be: H. Sajjad et al., "On the
    effect of dropping layers of pre-trained transformer models", Computer Speech & Language, 2023. Evenly spaced below
    the last: a graft's last layer compares what the one before it was trained to give.

    Args:
        layers: how many there are.
        kept: how many stay: at least 2, and fewer than there are.
    """
    last = layers - 1
    even = _evenly(layers, kept)
    below_last = (*_evenly(last, kept - 1), last)
    both_ends = (*range(kept // 2), *range(layers - (kept - kept // 2), layers))
    lowest = (*range(kept - 1), last)
    return list(dict.fromkeys([even, below_last, both_ends, lowest]))


def _evenly(layers: int, kept: int) -> tuple[int, ...]:
    """Numbers from the first to the last layer; of one alone, the first."""
    return tuple(round(number * (layers - 1) / max(1, kept - 1)) for number in range(kept))


def keep_layers(model: Any, kept: Sequence[int]) -> None:
    """Take all other layers out of a model, in place; saved and loaded again, it is a model of that many layers.

    Args:
        model: a scoring model; see `ScoringHead`.
        kept: numbers of the layers that stay, from 0.

    Raises:
        InputError: it cannot be told which its layers are.
    """
    layers = transformer_layers(model)
    count, config = len(layers), model.config
    for number in reversed(range(count)):
        if number not in kept:
            del layers[number]
    for key, value in config.to_dict().items():
        if "layer" in key and isinstance(value, list | tuple) and len(value) == count:  # one entry for each layer
            setattr(config, key, [value[number] for number in kept])
    config.num_hidden_layers = len(kept)
    for number, layer in enumerate(layers):
        for module in layer.modules():
            if "layer_idx" in vars(module):  # a decoder's place in the cache
                vars(module)["layer_idx"] = number

"""Finds a model's transformer layers, whatever its architecture calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossforge.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def transformer_layers(model: nn.Module) -> nn.ModuleList:
    """The list of a model's layers, from the token embeddings up: the only list as long as its config says.

    Args:
        model: a transformers model, with or without a head.

    Raises:
        InputError: there is no such list, as where all layers share their weights, or more than one.
    """
    from torch import nn

    count = getattr(model.config, "num_hidden_layers", None)
    found = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    if len(found) != 1:
        raise InputError(f"{type(model).__name__}: no list of {count} layers in it that stands alone")
    return found[0]

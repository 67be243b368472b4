"""Low-rank adapters (LoRA) with peft: few weights are trained, and they are merged into the model before saving.

Source: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from crossforge.errors import InputError
from crossforge_train.config.lora import LoraConfig

if TYPE_CHECKING:
    from torch import nn


def require_lora(*, wanted: bool, why: str = "") -> None:
    """Raise `InputError` if adapters are to be trained and peft is not installed; `why` may end the message."""
    if wanted and find_spec("peft") is None:
        raise InputError(f'training.lora needs peft, which is not installed: pip install "crossforge[lora]"{why}')


def add_adapters(model: nn.Module, config: LoraConfig, head: str) -> None:
    """Add adapters to a `transformers` classifier; from then on, only they and the head are trained.

    The adapters become part of the module, so checkpoints hold all weights under the module's names.

    Args:
        model: the model, changed in place.
        config: rank, scale and dropout.
        head: regular expression that matches the names of the head's modules.
    """
    import peft

    wanted = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules="all-linear",
        exclude_modules=[name for name, _ in model.named_modules() if re.search(head, name)],
    )
    peft.inject_adapter_in_model(wanted, model)
    for name, parameter in model.named_parameters():
        if re.search(head, name):
            parameter.requires_grad_(True)


def merge_adapters(model: nn.Module) -> None:
    """Merge each adapter into its layer and remove it: the model gets back its architecture, with new weights."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            base: Any = layer.get_base_layer()
            setattr(model.get_submodule(parent), child, base)

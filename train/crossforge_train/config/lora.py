"""The config section `training.lora`."""

from __future__ import annotations

from pydantic import Field

from crossforge_train.config.section import Section


class LoraConfig(Section):
    """Low-rank adapters on all linear layers except the head, which is trained in full."""

    rank: int = Field(16, ge=1, description="rank of the adapters")
    alpha: float = Field(32, gt=0, description="adapters are scaled by `alpha / rank`")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the input of an adapter")

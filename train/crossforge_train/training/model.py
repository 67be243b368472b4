"""The model that is trained: a base model with one label, fresh head included."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import CrossEncoder

from crossforge.backends.last_layer import shorten_last_layer
from crossforge_train.config.training import TrainingConfig
from crossforge_train.training.lora import add_adapters

# What transformers puts on an encoder to classify. The pooler is part of it: a bi-encoder averages its tokens and has
# never trained one. At the body's rate it learns so slowly that most of a short training is lost (docs/results.md).
HEAD = r"\b(pooler|pre_classifier|classifier|score)\b"


def load_model(base_model: Path, config: TrainingConfig) -> CrossEncoder:
    """The base model as a `CrossEncoder` whose scores are raw logits; seed before, for the fresh head."""
    model = CrossEncoder(
        str(base_model),
        num_labels=1,
        max_length=config.most_tokens,
        activation_fn=torch.nn.Identity(),
        local_files_only=True,
        model_kwargs={"dtype": torch.float32, "attn_implementation": _attention()},
    )
    _set_dropout(model, config.dropout)
    shorten_last_layer(model.model)
    if config.lora:
        add_adapters(model.model, config.lora, HEAD)
    if config.freeze_embeddings:
        model.model.get_input_embeddings().requires_grad_(False)
    return model


def _attention() -> str | None:
    """The attention that trains fastest: plain matrix products on a CPU, where the fused one is slow going backward.

    `benchmarks/training_step.py` measures it.
    """
    return None if torch.cuda.is_available() else "eager"


def _set_dropout(model: CrossEncoder, share: float) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share

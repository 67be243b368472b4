"""Loads the model to train: a base model with one label, with a fresh head if it has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder

from crossforge.backends.last_layer import shorten_last_layer
from crossforge.errors import InputError
from crossforge.heads.choice import named_head, scoring_head
from crossforge.heads.one_label import architecture, name_padding, pad_token_id
from crossforge.package_files import read_package_json
from crossforge_train.config.lora import LoraConfig
from crossforge_train.config.training import TrainingConfig
from crossforge_train.grafting.held import hold_marks
from crossforge_train.models.attention import training_attention
from crossforge_train.models.layers import transformer_layers
from crossforge_train.training.lora import add_adapters
from crossforge_train.training.scoring import scoring_cross_encoder

# The modules that transformers adds to an encoder for classification. The pooler counts: a bi-encoder averages its
# tokens and never trained one. At the body's rate, the head learns too slowly for a short training (docs/results.md).
HEAD = r"\b(pooler|pre_classifier|classifier|score)\b"


def load_model(base_model: Path, config: TrainingConfig) -> CrossEncoder:
    """Load the base model as a `CrossEncoder` that returns raw logits; seed first, for a fresh head."""
    model = _loaded(base_model, config)
    hold_marks(model.model)
    _set_dropout(model, config.dropout)
    shorten_last_layer(model.model)
    if isinstance(config.lora, LoraConfig):  # what is picked by now
        add_adapters(model.model, config.lora, HEAD)
    if config.freeze_embeddings:
        model.model.get_input_embeddings().requires_grad_(False)
    if config.frozen_layers:
        _freeze(model.model, config.frozen_layers)
    return model


def _loaded(base_model: Path, config: TrainingConfig) -> CrossEncoder:
    head = named_head(base_model)
    if head and not head.native:
        return scoring_cross_encoder(scoring_head(base_model).load(base_model))
    if head:
        head.load(base_model)  # refuses missing weights, which sentence-transformers would replace by random ones
    elif architecture(read_package_json(base_model / "config.json")).endswith("ForCausalLM"):
        return scoring_cross_encoder(_fresh_classifier(base_model))  # sentence-transformers would ask it for yes or no
    model = _classifier(base_model, config)
    name_padding(base_model, model.model.config)
    return model


def _fresh_classifier(base_model: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(
        base_model,
        num_labels=1,
        pad_token_id=pad_token_id(base_model, read_package_json(base_model / "config.json")),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32,
        attn_implementation=training_attention(),
    )


def _freeze(model: Any, layers: int) -> None:
    """Keep the lowest layers and the embeddings below them as they are.

    Raises:
        InputError: there are not so many layers and one more, or it cannot be told which they are.
    """
    found = transformer_layers(model)
    if layers >= len(found):
        raise InputError(f"training.frozen_layers is {layers}, but the model has {len(found)} layers: none is left")
    first_trained = next(found[layers].parameters())
    for parameter in model.parameters():  # in the order in which a text passes them
        if parameter is first_trained:
            return
        parameter.requires_grad_(False)


def _classifier(base_model: Path, config: TrainingConfig) -> CrossEncoder:
    return CrossEncoder(
        str(base_model),
        num_labels=1,
        max_length=config.most_tokens,
        activation_fn=torch.nn.Identity(),
        local_files_only=True,
        model_kwargs={"dtype": torch.float32, "attn_implementation": training_attention()},
    )


def _set_dropout(model: CrossEncoder, share: float) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share

"""A scoring model in training: one module of sentence-transformers around what crossforge loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder
from torch import Tensor

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class _Scores(torch.nn.Module):
    """Token tensors -> "scores", as the modules of sentence-transformers pass them on."""

    save_in_root = True

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        logits: Tensor = self.model(**{name: features[name] for name in _INPUTS if name in features}).logits
        return {**features, "scores": logits}

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}
        save_file(tensors, Path(output_path) / "model.safetensors", metadata={"format": "pt"})


class _ScoringCrossEncoder(CrossEncoder):
    """Its checkpoints hold all weights in one file, under the names that its `model` gives them."""

    @property
    def model(self) -> Any:
        """The scoring model, where the parent class gives the encoder alone."""
        return self[0].model


def scoring_cross_encoder(model: Any) -> CrossEncoder:
    """A CrossEncoder around a scoring model, which returns its raw logits."""
    return _ScoringCrossEncoder(modules=[_Scores(model)], activation_fn=torch.nn.Identity())

"""The modules of a modular CrossEncoder in torch; each computes what sentence-transformers' of that name does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from crossforge.errors import PackageError


class ModularModel(nn.Module):
    """An encoder and the modules that turn its tokens into one logit.

    Args:
        encoder: a `transformers` encoder.
        modules: kind and settings of each module behind it; a pooling's `modes` among them.
        written: the JSON files that its folder holds besides the encoder's, by their paths there.
    """

    def __init__(
        self, encoder: Any, modules: Sequence[tuple[str, Mapping[str, Any]]], written: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.score = nn.ModuleList(_MAKERS[kind](settings) for kind, settings in modules)
        self.written = dict(written)

    @property
    def config(self) -> Any:
        """The encoder's config."""
        return self.encoder.config

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return next(self.parameters()).device

    def get_input_embeddings(self) -> Any:
        """The encoder's token embeddings."""
        return self.encoder.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **inputs: Tensor) -> SimpleNamespace:
        """Token tensors of shape (pairs, length) -> `.logits` of shape (pairs, 1)."""
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        features = {"token_embeddings": tokens, "attention_mask": attention_mask}
        for module in self.score:
            module(features)
        return SimpleNamespace(logits=features["scores"])


class Pooling(nn.Module):
    """Tokens -> one vector: the parts that its modes take, side by side."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.modes: list[str] = settings["modes"]

    def forward(self, features: dict[str, Tensor]) -> None:
        """Read `token_embeddings`, write `sentence_embedding`."""
        tokens, mask = features["token_embeddings"], features["attention_mask"]
        features["sentence_embedding"] = torch.cat([_POOLINGS[mode](tokens, mask) for mode in self.modes], dim=-1)


class Dense(nn.Module):
    """A linear layer and its activation."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        size_in, size_out = settings["in_features"], settings["out_features"]
        self.linear = nn.Linear(size_in, size_out, bias=settings.get("bias", True))
        self.residual = (
            nn.Linear(size_in, size_out, bias=False) if settings.get("use_residual") and size_in != size_out else None
        )
        self._adds = bool(settings.get("use_residual"))
        self._activation = _activation(settings.get("activation_function", "torch.nn.modules.activation.Tanh"))
        self._source = settings.get("module_input_name", "sentence_embedding")
        self._target = settings.get("module_output_name") or self._source

    def forward(self, features: dict[str, Tensor]) -> None:
        """Read and write what its settings name."""
        given = features[self._source]
        found = self._activation(self.linear(given))
        if self._adds:
            found = found + (given if self.residual is None else self.residual(given))
        features[self._target] = found


class LayerNorm(nn.Module):
    """Normalizes the vector by its own mean and variance."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(settings["dimension"])

    def forward(self, features: dict[str, Tensor]) -> None:
        """Change `sentence_embedding`."""
        features["sentence_embedding"] = self.norm(features["sentence_embedding"])


class Normalize(nn.Module):
    """Gives the vector unit length."""

    def __init__(self, _: Mapping[str, Any]) -> None:
        super().__init__()

    def forward(self, features: dict[str, Tensor]) -> None:
        """Change `sentence_embedding`."""
        features["sentence_embedding"] = nn.functional.normalize(features["sentence_embedding"], dim=-1)


class Dropout(nn.Module):
    """Drops parts of the vector in training."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.dropout_layer = nn.Dropout(settings.get("dropout", 0.2))

    def forward(self, features: dict[str, Tensor]) -> None:
        """Change `sentence_embedding`."""
        features["sentence_embedding"] = self.dropout_layer(features["sentence_embedding"])


_MAKERS = {"Pooling": Pooling, "Dense": Dense, "LayerNorm": LayerNorm, "Normalize": Normalize, "Dropout": Dropout}


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


def _max(tokens: Tensor, mask: Tensor) -> Tensor:
    return tokens.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)


def _last(tokens: Tensor, mask: Tensor) -> Tensor:
    """The last token that is no padding; padding stands at the end."""
    ends = (mask.sum(dim=1) - 1).view(-1, 1, 1).expand(-1, 1, tokens.shape[-1])
    return tokens.gather(1, ends).squeeze(1)


_POOLINGS = {"cls": lambda tokens, _: tokens[:, 0], "mean": _mean, "max": _max, "lasttoken": _last}


def _activation(name: str) -> nn.Module:
    """An activation by its name in torch; no other code is run.

    Raises:
        PackageError: torch has none of that name.
    """
    found = getattr(nn, name.rpartition(".")[2], None) if name.startswith("torch.nn.") else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise PackageError(f"the activation {name} is none of torch, and no other code is run")
    return found()

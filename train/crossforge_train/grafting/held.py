"""Keeps in training what a graft began with: the weights that write, renew and read the marks.

Training moves every weight by about as much, which blurs what belongs to which text. On the quickstart's dev queries
training ended at .534 without this and at .594 with it (docs/history.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crossforge_train.grafting.layout import layout_said
from crossforge_train.grafting.segments import ADDED_UNITS


def hold_marks(model: Any) -> None:
    """Let the weights of a graft's marks get no gradient; other models stay as they are.

    Args:
        model: a `transformers` classifier whose weights all require gradients.
    """
    layout = layout_said(model.config)
    if layout is None:
        return
    bert, marks = model.bert, layout.marks
    excluding = [row for head in range(layout.heads) for row in layout.excluding(head)]
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        _hold(getattr(bert.embeddings, name).weight, 1, marks)
    _hold_rows(bert.embeddings.LayerNorm, marks)
    for layer in bert.encoder.layer:
        attention, output = layer.attention.self, layer.attention.output
        for reader in (attention.query, attention.key):
            _hold_rows(reader, excluding)
        for writer in (output.dense, output.LayerNorm, layer.output.dense, layer.output.LayerNorm):
            _hold_rows(writer, marks)
    for layer in bert.encoder.layer[:-1]:
        inner = layer.intermediate.dense
        units = range(inner.out_features - ADDED_UNITS, inner.out_features)
        _hold_rows(inner, units)
        _hold(layer.output.dense.weight, 1, units)


def _hold_rows(module: nn.Module, rows: Sequence[int]) -> None:
    for parameter in module.parameters(recurse=False):
        _hold(parameter, 0, rows)


def _hold(parameter: Tensor, dimension: int, indices: Sequence[int]) -> None:
    held = torch.tensor(indices)

    def without_held(gradient: Tensor) -> Tensor:
        return gradient.index_fill(dimension, held.to(gradient.device), 0)

    parameter.register_hook(without_held)  # type: ignore[no-untyped-call]

"""Lets query and document pass through a bi-encoder's layers side by side, each nearly as if it were alone.

One axis of the hidden state, the one that matters least, is emptied and carries the segment: below zero for tokens of
the query, above it for those of the document. In each attention head, one dimension of the dot product prefers tokens
of the same segment, and another one makes up for that at [CLS], which both texts share as they did when each had its
own. Everything else stays what the bi-encoder learned.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from crossforge_train.grafting.calibration import Activations, attention_norm, embeddings_norm, layer_norm

# By how much the attention logits of tokens of the same segment are raised. More keeps the texts apart more strictly,
# and leaves less of a gradient to learn from where they should meet; from 2 to 4 the scores are alike.
_PREFERENCE = 3.0
_TAKEN = 2  # dimensions of a head that are freed for it
_LEAST_EIGENVALUE = 1e-8  # of the largest


def least_important_axis(encoder: Any, activations: Activations) -> int:
    """The axis of the hidden state that the layers read and vary least."""
    importance = torch.zeros(encoder.config.hidden_size)
    before = embeddings_norm()
    for number, layer in enumerate(encoder.encoder.layer):
        read, between = activations.leaving[before], activations.leaving[attention_norm(number)]
        attention = layer.attention.self
        for reader in (attention.query, attention.key, attention.value):
            importance += (reader.weight.norm(dim=0) * read.std(0)) ** 2
        importance += (layer.intermediate.dense.weight.norm(dim=0) * between.std(0)) ** 2
        importance += read.var(0) + between.var(0)
        before = layer_norm(number)
    return int(importance.argmin())


def keep_segments_apart(encoder: Any, axis: int, cls_id: int, layers: int, activations: Activations) -> None:
    """Change the embeddings and the first `layers` layers of a `BertModel` in place."""
    _embed_segments(encoder.embeddings, axis, cls_id, activations)
    before = embeddings_norm()
    for number in range(layers):
        layer, between, end = encoder.encoder.layer[number], attention_norm(number), layer_norm(number)
        attention, read = layer.attention.self, activations.leaving[before]
        for reader in (attention.query, attention.key, attention.value):
            _stop_reading(reader, axis, read)
        _prefer_own_segment(attention, axis, read, activations.cls_direction(before))
        _stop_reading(layer.intermediate.dense, axis, activations.leaving[between])
        for block, name in ((layer.attention.output, between), (layer.output, end)):
            block.dense.weight[axis], block.dense.bias[axis] = 0, 0
            _pass_on(block.LayerNorm, axis, name, activations)
        before = end


def _embed_segments(embeddings: Any, axis: int, cls_id: int, activations: Activations) -> None:
    """Every token gets the first segment's vector, as in a bi-encoder, but on the axis: −1, +1, and 0 for [CLS]."""
    words, segments = embeddings.word_embeddings.weight, embeddings.token_type_embeddings.weight
    words[:, axis], embeddings.position_embeddings.weight[:, axis] = 0, 0
    unit = activations.entering[embeddings_norm()].deviation
    segments[1] = segments[0]
    segments[0, axis], segments[1, axis] = -unit, unit
    words[cls_id, axis] = unit
    embeddings.LayerNorm.weight[axis], embeddings.LayerNorm.bias[axis] = 1, 0


def _stop_reading(reader: Any, axis: int, read: Tensor) -> None:
    """What the axis held before is taken for its mean."""
    reader.bias += reader.weight[:, axis] * read[:, axis].mean()
    reader.weight[:, axis] = 0


def _pass_on(norm: Any, axis: int, name: str, activations: Activations) -> None:
    """Undo on the axis what a LayerNorm does to a vector of usual mean and deviation."""
    entering = activations.entering[name]
    norm.weight[axis], norm.bias[axis] = entering.deviation, entering.deviation * entering.offset


def _prefer_own_segment(attention: Any, axis: int, read: Tensor, cls_direction: Tensor) -> None:
    size = attention.attention_head_size
    unit = preference(_PREFERENCE, size)
    attention.key.bias.zero_()  # adds the same to all logits of a token
    cls_reader = without_axis(cls_direction, axis)
    for start in range(0, attention.all_head_size, size):
        _free_dimensions(attention, slice(start, start + size), read)
        for_segment, for_cls = start + size - 1, start + size - 2
        attention.query.weight[for_segment, axis] = attention.key.weight[for_segment, axis] = unit
        attention.query.bias[for_cls], attention.key.weight[for_cls] = unit, unit * cls_reader


def preference(logits: float, head_size: int) -> float:
    """The value that both sides of a dot product need so that −1 · 1 and 1 · 1 lie so many attention logits apart."""
    return math.sqrt(logits * math.sqrt(head_size) / 2)


def without_axis(vector: Tensor, axis: int) -> Tensor:
    """The vector with 0 on the axis."""
    vector = vector.clone()
    vector[axis] = 0
    return vector


def _free_dimensions(attention: Any, head: slice, read: Tensor) -> None:
    """Put a head's dot products, as near as can be over `read`, into all but its last dimensions, which become 0.

    Queries and keys are whitened by their second moments; the singular vectors of what is left of the dot product are
    the new dimensions, and the weakest ones go.
    """
    query = torch.cat([attention.query.weight[head], attention.query.bias[head, None]], 1).double()
    key = attention.key.weight[head].double()
    with_one = torch.cat([read, torch.ones(len(read), 1)], 1).double()
    query_root = _root(query @ (with_one.T @ with_one / len(read)) @ query.T)
    key_root = _root(key @ torch.cov(read.T).double() @ key.T)
    left, strengths, right = torch.linalg.svd(query_root @ key_root)
    scale = strengths.sqrt()[:, None]
    query = scale * (left.T @ torch.linalg.solve(query_root, query))
    key = scale * (right @ torch.linalg.solve(key_root, key))
    query[-_TAKEN:], key[-_TAKEN:] = 0, 0
    attention.query.weight[head], attention.query.bias[head] = query[:, :-1].float(), query[:, -1].float()
    attention.key.weight[head] = key.float()


def _root(moments: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(moments)
    root: Tensor = vectors @ torch.diag(values.clamp(min=float(_LEAST_EIGENVALUE * values.max())).sqrt()) @ vectors.T
    return root

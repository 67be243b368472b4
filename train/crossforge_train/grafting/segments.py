"""Passes query and document through a bi-encoder's layers side by side, each nearly as if it were alone.

The least important axis of the hidden state is cleared and carries the segment: below zero for the query's tokens,
above zero for the document's. In each attention head, one dimension of the dot product favours tokens of the same
segment. Another compensates for that at [CLS], which the two texts now share, so that each still attends to it as it
did to its own. Everything else stays as the bi-encoder learned it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from crossforge_train.grafting.calibration import Activations, attention_norm, embeddings_norm, layer_norm
from crossforge_train.grafting.prediction import predict

# Bonus in attention logits for tokens of the same segment. A larger bonus separates the texts more strictly, but makes
# attention depend on how exactly each token carries its segment.
_PREFERENCE = 4.0
_TAKEN = 2  # dimensions freed in each head for this
ADDED_UNITS = 8  # of each feed-forward block; see `_restore`
# A GELU gate is shut where the axis holds less than the first value; the second is its steepness. A steeper gate would
# rely on larger numbers cancelling, which training soon upsets.
_NOTHING, _SHUT = 0.2, 6.0
_LEAST_EIGENVALUE = 1e-8  # relative to the largest


def load_with_added_units(model: Any, encoder: Any) -> None:
    """Give a `BertModel` an encoder's layers; the `ADDED_UNITS` by which its own are wider read and write nothing."""
    wider = model.state_dict()
    for name, value in encoder.state_dict().items():
        wider[name].zero_()
        wider[name][tuple(slice(size) for size in value.shape)] = value


def least_important_axis(encoder: Any, activations: Activations) -> int:
    """The axis of the hidden state that varies least and has the least effect on the layers."""
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
        others = activations.leaving[between][~activations.is_cls]
        _restore(layer, axis, others, activations.entering[end].ratios)
        before = end


def _embed_segments(embeddings: Any, axis: int, cls_id: int, activations: Activations) -> None:
    """Give every token the first segment's vector, as in a bi-encoder, but put −1, +1 or, for [CLS], 0 on the axis."""
    words, segments = embeddings.word_embeddings.weight, embeddings.token_type_embeddings.weight
    words[:, axis], embeddings.position_embeddings.weight[:, axis] = 0, 0
    unit = activations.entering[embeddings_norm()].deviation
    segments[1] = segments[0]
    segments[0, axis], segments[1, axis] = -unit, unit
    words[cls_id, axis] = unit
    embeddings.LayerNorm.weight[axis], embeddings.LayerNorm.bias[axis] = 1, 0


def _stop_reading(reader: Any, axis: int, read: Tensor) -> None:
    """Replace the axis's former value by its mean, folded into the bias."""
    reader.bias += reader.weight[:, axis] * read[:, axis].mean()
    reader.weight[:, axis] = 0


def _pass_on(norm: Any, axis: int, name: str, activations: Activations) -> None:
    """Undo, on the axis, what a LayerNorm does to a vector of typical mean and deviation."""
    entering = activations.entering[name]
    norm.weight[axis], norm.bias[axis] = entering.deviation, entering.deviation * entering.offset


def _restore(layer: Any, axis: int, read: Tensor, ratios: Tensor) -> None:
    """Make the feed-forward block's added units reset the axis to 0 or ± the token's own ratio.

    A LayerNorm divides each token by its own deviation; after six layers, the axis would carry little signal. So the
    axis is multiplied in advance by a prediction of what the next LayerNorm will divide it by.

    Args:
        layer: a layer of a `BertModel`, changed in place.
        axis: the segment axis.
        read: input of the feed-forward block, shape (tokens, hidden).
        ratios: deviations at its LayerNorm relative to the typical one, shape (tokens,).
    """
    inner, outer = layer.intermediate.dense, layer.output.dense
    learned = slice(-ADDED_UNITS)
    foreseen = predict(without_axis(read, axis), ratios, (inner.weight[learned], inner.bias[learned]), _SHUT)
    one = torch.zeros(len(read.T))
    one[axis] = 1
    # gelu(z) − gelu(−z) = z removes the old value. gelu(z) is about max(z, 0): the two units of one sign are both open
    # or both shut, and their difference is the linear term or 0. The next unit's GELU is as predicted where the axis
    # has the sign, and 0 where it has the other. Each entry is a unit's weight, bias and output weight.
    units = [(one, 0.0, -1.0), (-one, 0.0, 1.0)]
    for sign in (1.0, -1.0):
        gate, shut = _SHUT * sign * one, -_SHUT * _NOTHING
        units += [(foreseen.linear.weight + gate, foreseen.linear.bias + shut, sign), (gate, shut, -sign)]
        units.append((foreseen.unit.weight + gate / 2, foreseen.unit.bias - _SHUT / 2, sign * foreseen.factor))
    for unit, (reads, with_bias, writes) in enumerate(units, start=-ADDED_UNITS):
        inner.weight[unit], inner.bias[unit], outer.weight[axis, unit] = reads, with_bias, writes


def _prefer_own_segment(attention: Any, axis: int, read: Tensor, cls_direction: Tensor) -> None:
    size = attention.attention_head_size
    unit = preference(_PREFERENCE, size)
    attention.key.bias.zero_()  # it adds the same value to all logits of a token
    cls_reader = without_axis(cls_direction, axis)
    for start in range(0, attention.all_head_size, size):
        _free_dimensions(attention, slice(start, start + size), read)
        for_segment, for_cls = start + size - 1, start + size - 2
        attention.query.weight[for_segment, axis] = attention.key.weight[for_segment, axis] = unit
        attention.query.bias[for_cls], attention.key.weight[for_cls] = unit, unit * cls_reader


def preference(logits: float, head_size: int) -> float:
    """The value on both sides of a dot product that puts −1 · 1 and 1 · 1 this many attention logits apart."""
    return math.sqrt(logits * math.sqrt(head_size) / 2)


def without_axis(vector: Tensor, axis: int) -> Tensor:
    """A copy of one or more vectors, shape (…, hidden), with 0 on the axis."""
    vector = vector.clone()
    vector[..., axis] = 0
    return vector


def _free_dimensions(attention: Any, head: slice, read: Tensor) -> None:
    """Zero a head's last dimensions, approximating its dot products over `read` as closely as possible with the rest.

    Queries and keys are whitened by their second moments. The singular vectors of the whitened dot product become the
    new dimensions, and the weakest are dropped.
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

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

from crossforge_train.grafting.calibration import Activations, attention_norm, embeddings_norm, invertible, layer_norm

# By how much the attention logits of tokens of the same segment are raised. More keeps the texts apart more strictly,
# and lets tokens weigh by how exactly they know their segment; from 3 to 6 the scores are alike.
_PREFERENCE = 4.0
_TAKEN = 2  # dimensions of a head that are freed for it
# A gate of GELU units is shut where the axis holds less than the first, and the second says how tightly. More of that
# would leave two larger numbers to cancel, which training soon upsets.
_NOTHING, _SHUT = 0.2, 6.0
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
        others = activations.leaving[between][~activations.is_cls]
        _restore(layer, axis, others, activations.entering[end].ratios)
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


def _restore(layer: Any, axis: int, read: Tensor, ratios: Tensor) -> None:
    """Let the feed-forward part put 0 or ± a token's own ratio on the axis, in place of what was left there.

    A LayerNorm divides each token by its own deviation; after six layers of that the axis would tell little. So it gets
    beforehand, as far as can be foreseen, what the next one will divide it by.

    Args:
        layer: of a `BertModel`, changed in place.
        axis: the segment axis.
        read: what the feed-forward part reads, shape (tokens, hidden).
        ratios: of the deviations that its LayerNorm will find to the usual one, shape (tokens,).
    """
    inner, outer = layer.intermediate.dense, layer.output.dense
    weight, bias = _foreseen(without_axis(read, axis), ratios)
    one = torch.zeros_like(weight)
    one[axis] = 1
    # gelu(z) − gelu(−z) = z takes off what is there. gelu(z) is about max(z, 0): those of one sign are both open
    # or both shut, and their difference is the ratio or 0. Weight and bias of a unit, and what it writes.
    units = [(one, 0.0, -1.0), (-one, 0.0, 1.0)]
    for sign in (1.0, -1.0):
        gate, shut = _SHUT * sign * one, -_SHUT * _NOTHING
        units += [(weight + gate, bias + shut, sign), (gate, shut, -sign)]
    for unit, (reads, with_bias, writes) in zip(_least_important_units(layer, read, len(units)), units, strict=True):
        outer.weight[:, unit] = 0
        inner.weight[unit], inner.bias[unit], outer.weight[axis, unit] = reads, with_bias, writes


def _foreseen(read: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
    """Weight, shape (hidden,), and bias of the linear regression of what is wanted on what is read.

    Relative errors are least, since what is wanted is divided by itself in the end.
    """
    share = wanted**-2 / (wanted**-2).sum()
    centre, mean = share @ read, share @ wanted
    apart = read - centre
    covariance = invertible(apart.T @ (share[:, None] * apart))
    weight: Tensor = torch.linalg.solve(covariance, apart.T @ (share * (wanted - mean)))
    return weight, float(mean - centre @ weight)


def _least_important_units(layer: Any, read: Tensor, count: int) -> Tensor:
    """Those whose output varies least over `read`; what they give on average goes into the bias."""
    outer = layer.output.dense
    given: Tensor = layer.intermediate(read)
    taken: Tensor = (given.std(0) * outer.weight.norm(dim=0)).argsort()[:count]
    outer.bias += outer.weight[:, taken] @ given[:, taken].mean(0)
    return taken


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
    """The vector, or each of several, shape (…, hidden), with 0 on the axis."""
    vector = vector.clone()
    vector[..., axis] = 0
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

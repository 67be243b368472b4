"""The layer that a graft adds: at [CLS] it averages the query and the document and compares the two averages.

Half of its attention heads attend evenly to the query's tokens and half to the document's. The LayerNorm after them
scales both averages to unit length. The feed-forward block multiplies them coordinate by coordinate and sums the
products into the segment axis: the cosine. All unused weights keep their random initialisation and train as usual.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from crossforge_train.grafting.calibration import Activations, layer_norm
from crossforge_train.grafting.segments import preference, without_axis

_LEAD = 30.0  # scale of the averages relative to what [CLS] held before
_LOUDNESS = 0.25  # scale of the averages next to the comparison; keeps the last LayerNorm nearly independent of it
# GELUs can multiply: gelu(z) + gelu(−z) grows like z², and (a+b)² − (a−b)² = 4ab.
_SIGNS = ((1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0))
_AMPLITUDE = 4.0  # value of the comparison on its axis for a cosine of 1 above the mean
_LINEAR = 0.5  # share of it that the pooler reads, small enough for tanh to be nearly linear
_UNITS = len(_SIGNS)


class Evenness(NamedTuple):
    """Gaps in attention logits between the averaged tokens and all others.

    A larger gap keeps more of the other text out of the average, but weights the tokens less evenly.
    """

    query: float
    document: float


def add_comparison(
    model: Any,
    axis: int,
    queries: Tensor,
    documents: Tensor,
    query_map: Tensor,
    activations: Activations,
    evenness: Evenness,
) -> None:
    """Write the last layer of a `BertForSequenceClassification` in place; can be repeated with another evenness.

    Args:
        model: a model whose last layer is random and whose other layers come from the bi-encoder.
        axis: the segment axis.
        queries: bi-encoder embeddings of the queries, shape (queries, hidden).
        documents: bi-encoder embeddings of the documents, shape (documents, hidden).
        query_map: what the queries are multiplied by before they are compared, shape (hidden, hidden).
        activations: activations of the bi-encoder.
        evenness: attention gaps of the two averages.
    """
    layer = model.bert.encoder.layer[-1]
    attention, output = layer.attention.self, layer.attention.output
    heads, size, hidden = attention.num_attention_heads, attention.attention_head_size, model.config.hidden_size
    side = heads // 2 * size  # dimensions of half the heads
    compared = min((hidden - 1) // 2, side, model.config.intermediate_size // _UNITS)
    query_axes, document_axes = _axes(hidden, axis, compared)
    sides = [without_axis(vectors, axis) for vectors in (without_axis(queries, axis) @ query_map, documents)]
    projection = _projection(torch.cat([normalize(vectors) for vectors in sides]), axis, compared)
    attention.value.weight.zero_()
    output.dense.weight.zero_()
    read = (without_axis(projection @ query_map.T, axis), projection)  # what it reads of query and document
    for offset, axes, vectors, reading in zip((0, side), (query_axes, document_axes), sides, read, strict=True):
        rows = offset + torch.arange(compared)
        # Equal length on average: short texts have longer averages, and the LayerNorm scales both sides together.
        attention.value.weight[rows] = _LEAD**0.5 * reading / vectors.norm(dim=1).mean()
        output.dense.weight[axes, rows] = _LEAD**0.5
    cls_direction = without_axis(activations.cls_direction(layer_norm(model.config.num_hidden_layers - 2)), axis)
    _attend_to_segments(attention, axis, cls_direction, evenness)
    output.LayerNorm.weight.fill_(_LOUDNESS)
    output.LayerNorm.weight[axis] = 0
    _multiply(layer, axis, query_axes, document_axes)


def _axes(hidden: int, axis: int, compared: int) -> tuple[Tensor, Tensor]:
    """The axes that hold the query's and the document's average, each of shape (compared,)."""
    free = torch.tensor([number for number in range(hidden) if number != axis])
    return free[:compared], free[compared : 2 * compared]


def _projection(embeddings: Tensor, axis: int, compared: int) -> Tensor:
    """Project unit vectors onto their principal components, scaled to mean square 1; shape (compared, hidden).

    The components are randomly rotated so that all coordinates have the same scale, as the feed-forward block needs.
    """
    embeddings = embeddings.double()
    components = torch.linalg.eigh(embeddings.T @ embeddings)[1][:, -compared:].T
    generator = torch.Generator().manual_seed(0)
    turn: Tensor = torch.linalg.qr(torch.randn(compared, compared, dtype=torch.double, generator=generator))[0]
    projection: Tensor = turn @ components
    projection[:, axis] = 0
    projection /= (embeddings @ projection.T).pow(2).mean().sqrt()
    return projection.float()


def _attend_to_segments(attention: Any, axis: int, cls_direction: Tensor, evenness: Evenness) -> None:
    """Make all tokens attend alike: half the heads to the query, half to the document, none to [CLS]."""
    size, heads = attention.attention_head_size, attention.num_attention_heads
    attention.query.weight.zero_()
    attention.query.bias.zero_()
    for head in range(heads):
        sign, logits = (-1, evenness.query) if head < heads // 2 else (1, evenness.document)
        unit, row = preference(logits, size), head * size
        attention.query.bias[row] = unit
        attention.key.weight[row] = -unit * cls_direction
        attention.key.weight[row, axis] = sign * unit


def _multiply(layer: Any, axis: int, query_axes: Tensor, document_axes: Tensor) -> None:
    inner, outer = layer.intermediate.dense, layer.output.dense
    inner.bias.zero_()
    outer.weight.zero_()
    outer.bias.zero_()
    for number, (query_sign, document_sign) in enumerate(_SIGNS):
        units = _UNITS * torch.arange(len(query_axes)) + number
        inner.weight[units] = 0
        inner.weight[units, query_axes] = query_sign
        inner.weight[units, document_axes] = document_sign
        outer.weight[axis, units] = query_sign * document_sign


def fit_logits(
    model: Any, axis: int, entering: tuple[Tensor, Tensor], cosines: Tensor, groups: Tensor, scale: float
) -> float:
    """Scale the comparison and the head so that a logit is about `scale` times the cosine minus the mean cosine.

    Args:
        model: a model written by `add_comparison`.
        axis: the segment axis.
        entering: inputs of the last layer for query–document pairs: hidden states and attention mask.
        cosines: bi-encoder cosines, shape (pairs,).
        groups: number of each pair's query, from 0, shape (pairs,).
        scale: logit units per unit of cosine.

    Returns:
        The correlation of the logits with the cosines within a query, which is what ranks its documents.
    """
    layer, pooler, classifier = model.bert.encoder.layer[-1], model.bert.pooler, model.classifier
    outer = layer.output.dense
    sums: list[Tensor] = []
    hook = outer.register_forward_hook(lambda _, inputs, output: sums.append(output[:, 0, axis]))
    try:
        layer(*entering)
    finally:
        hook.remove()
    wanted = _within(cosines, groups)
    slope = _AMPLITUDE * wanted.std() / _within(sums[0], groups).std()
    outer.weight[axis] *= slope
    outer.bias[axis] = -sums[0].mean() * slope
    pooler.dense.bias.zero_()
    pooler.dense.weight[0] = 0
    pooler.dense.weight[0, axis] = _LINEAR * _LOUDNESS  # the last LayerNorm roughly divides by the loudness
    classifier.bias.zero_()
    classifier.weight[0, 0] = scale / (_LINEAR * _AMPLITUDE)
    logits = classifier(pooler(layer(*entering)))[:, 0]
    return float(torch.corrcoef(torch.stack([_within(logits, groups), wanted]))[0, 1])


def _within(values: Tensor, groups: Tensor) -> Tensor:
    """Values minus the mean of their group, shape (pairs,)."""
    sums = torch.zeros(int(groups.max()) + 1).index_add(0, groups, values)
    return values - (sums / groups.bincount())[groups]

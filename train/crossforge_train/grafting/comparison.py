"""The two layers and the head that a graft adds: the first pools each text, the second compares what it pooled.

In the first, every token attends to its own text: evenly, as mean pooling does, or to its first token, as CLS pooling
does. The LayerNorm scales the texts' vectors to one length. In the second, the first token of all attends to itself and
to the document's first token, and to nothing else. An attention logit is a product of two vectors, and the share of
attention is nearly linear in it. So the shares that all heads give to the document add up to the cosine. In every other
head the product has the other sign, and the difference of both kinds is taken: what all logits have in common, rounding
among it, falls out.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from crossforge_train.grafting.layout import Layout
from crossforge_train.grafting.segments import MARK, clear, exclude, renew_marks

_LEAD = 200.0  # scale of the texts' vectors relative to what the tokens held before
_STRICT = 16.0  # attention logits that pooling loses for the other text's tokens
_FIRST_ALONE = 40.0  # attention logits that CLS pooling loses for a whole mark; some are a sixth of it
_SHARPNESS = 2 / 3  # attention logits of a head for a cosine of 1; larger ones are less linear
_ALONE = 14.0  # attention logits that the comparison loses for all but the first tokens
# What marks the others of them in the comparison. As it is large, the rounding of a 0 there does not count.
_INNER = 40.0
# Training moves all weights by about as much, however small they are. So what they read is made small, and they are
# large, where little may change at once: in the products that compare, and in the pooler.
_QUIET = 0.1  # scale of the texts' vectors
_LOUDNESS = 0.05  # scale of what the pooler reads besides the comparison
_LINEAR = 0.25  # share of the comparison that the pooler reads, small enough for tanh to be nearly linear


def add_pooling(layer: Any, layout: Layout, vectors: Tensor, *, of_first: bool) -> Tensor:
    """Write the layer that pools, in place.

    Args:
        layer: a random layer of a wide `BertModel`.
        layout: of the model.
        vectors: vectors to expect, shape (texts, hidden).
        of_first: whether a text's vector is that of its first token, not the average of all.

    Returns:
        The directions in which it writes the vectors: unit vectors at right angles, shape (free, hidden).
    """
    attention, output, hidden = layer.attention.self, layer.attention.output, layout.hidden
    clear(attention.query, attention.key, attention.value, output.dense, layer.output.dense)
    exclude(attention, layout, _STRICT, _STRICT)
    if of_first:  # no other logits are in these dimensions
        _exclude_inner(attention, layout, [layout.dimensions(head).start for head in range(layout.heads)], _FIRST_ALONE)
    # At right angles to the vector of ones, which the LayerNorm takes away.
    ones = torch.ones(len(layout.free), 1)
    directions = _right_angles(torch.cat([ones, _random(len(layout.free), hidden)], 1))[:, 1:]
    numbers = torch.arange(hidden)
    attention.value.weight[numbers, numbers] = math.sqrt(_LEAD)
    output.dense.weight[layout.free[:, None], numbers] = math.sqrt(_LEAD) * directions
    _plain(output.LayerNorm)
    output.LayerNorm.weight[list(layout.marks)] = _LEAD * float(vectors.norm(dim=1).mean()) / math.sqrt(layout.wide)
    renew_marks(layer, layout, _INNER)
    _plain(layer.output.LayerNorm, _QUIET)
    return directions


def add_comparison(layer: Any, layout: Layout, directions: Tensor, query_map: Tensor) -> None:
    """Write the layer that compares, in place: its first token gets a cosine on the axis `score`.

    Args:
        layer: a random layer of a wide `BertModel`.
        layout: of the model.
        directions: in which the texts' vectors are, shape (free, hidden).
        query_map: what the queries are multiplied by before they are compared, shape (hidden, hidden).
    """
    attention, output, hidden = layer.attention.self, layer.attention.output, layout.hidden
    clear(attention.query, attention.key, attention.value, output.dense, layer.output.dense)
    # A random rotation gives every head a like share of the cosine.
    turn = _right_angles(_random(hidden, hidden))
    scale = math.sqrt(_SHARPNESS * layout.heads * math.sqrt(layout.wide_size) / layout.wide) / _QUIET
    free, shared = layout.free[None], layout.shared[:, None]
    attention.query.weight[shared, free] = scale * turn @ query_map.T @ directions.T
    attention.key.weight[shared, free] = scale * turn @ directions.T
    marked = _QUIET * _INNER / math.sqrt(1 + _INNER**2 / layout.wide)  # what the LayerNorm between leaves of it
    _exclude_inner(attention, layout, [layout.excluding(head)[0] for head in range(layout.heads)], _ALONE, marked)
    for head in range(layout.heads):
        dimensions, sign = layout.dimensions(head), 1 if head % 2 else -1
        attention.query.weight[list(dimensions)] *= sign
        # 1 for the query and 0 for the document; a query's mark is the same whatever the document is.
        attention.value.weight[dimensions.start, layout.query] = 1 / (_QUIET * MARK)
        output.dense.weight[layout.score, dimensions.start] = -2 * _QUIET * sign
    _plain(output.LayerNorm)
    _plain(layer.output.LayerNorm, _LOUDNESS)
    layer.output.LayerNorm.weight[layout.score] = 1


def _exclude_inner(attention: Any, layout: Layout, dimensions: list[int], logits: float, mark: float = MARK) -> None:
    """Let all tokens lose attention logits, through one dimension of each head, for tokens with the mark `inner`."""
    unit = math.sqrt(math.sqrt(layout.wide_size))
    attention.query.bias[dimensions] = unit
    attention.key.weight[dimensions, layout.inner] = -unit * logits / mark


def fit_logits(model: Any, layout: Layout, pooled: Tensor, cosines: Tensor, groups: Tensor, scale: float) -> float:
    """Scale the head of a model so that a logit is about `scale` times the cosine minus the mean cosine.

    Args:
        model: a `BertForSequenceClassification` whose pooler is written by `read_score`.
        layout: of the model.
        pooled: what its pooler makes of query–document pairs, shape (pairs, wide).
        cosines: bi-encoder cosines, shape (pairs,).
        groups: number of each pair's query, from 0, shape (pairs,).
        scale: logit units per unit of cosine.

    Returns:
        The correlation of the logits with the cosines within a query, which is what ranks its documents.
    """
    wanted, found = _within(cosines, groups), _within(pooled[:, layout.score], groups)
    classifier = model.classifier
    classifier.weight[0, layout.score] = scale * (wanted @ found) / (found @ found)
    classifier.bias.zero_()
    logits = classifier(pooled)[:, 0]
    classifier.bias[0] = -logits.mean()
    return float(torch.corrcoef(torch.stack([_within(logits, groups), wanted]))[0, 1])


def read_score(model: Any, layout: Layout) -> None:
    """Let the pooler of a `BertForSequenceClassification` read the comparison, in place."""
    pooler = model.bert.pooler.dense
    pooler.bias.zero_()
    pooler.weight[layout.score] = 0
    pooler.weight[layout.score, layout.score] = _LINEAR


def _plain(norm: Any, scale: float = 1.0) -> None:
    norm.weight.fill_(scale)
    norm.bias.zero_()


def _random(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def _right_angles(columns: Tensor) -> Tensor:
    """Unit vectors at right angles that span what the columns span, in their order."""
    found: Tensor = torch.linalg.qr(columns.double())[0]
    return found.float()


def _within(values: Tensor, groups: Tensor) -> Tensor:
    """Values minus the mean of their group, shape (pairs,)."""
    sums = torch.zeros(int(groups.max()) + 1).index_add(0, groups, values)
    return values - (sums / groups.bincount())[groups]

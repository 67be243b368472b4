"""Passes query and document through a bi-encoder's layers side by side, each as if it were alone.

The graft is a little wider than the bi-encoder. Its added axes mark which text a token belongs to, and the added
dimensions of its attention heads keep tokens from attending to the other text. Its other weights are the bi-encoder's.

A LayerNorm divides each token by its own deviation, so that a mark comes out anywhere from a sixth of its value to
somewhat more, but 0 as nearly 0. So all that hangs on a mark's size is how strictly the other text is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from crossforge_train.grafting.calibration import Spread, Spreads, attention_norm, embeddings_norm, layer_norm
from crossforge_train.grafting.layout import Layout

Block = tuple[nn.Linear, nn.Linear]  # of a feed-forward block

MARK = 2.0  # a mark's typical value; larger ones stand out more, and change the deviations more
ADDED_UNITS = 16  # of each feed-forward block, which the marks use; matrices like multiples of 16
# Attention logits that a text's tokens lose for the other text's. The document is longer, so a query leaves it out more
# strictly; a document's tokens can learn to attend to the query.
_QUERY_EXCLUDES, _DOCUMENT_EXCLUDES = 12.0, 8.0
# A mark is there where it exceeds `_SHUT` / `_STEEP`, and whole above .28: those of tokens that stand out are as small
# as .3. GELU dips below 0, most of all at −.75, so what is shut is far below, or the noise of a 0 would come through.
# Steeper ones cost precision in bf16.
_STEEP, _SHUT = 25.0, 5.0
_OPEN = 2.0  # GELU(x) is x from here on
# The word vector of a document's first token is as many times that of [CLS] at position 0. So the position where it
# is does not matter: a LayerNorm follows.
_LOUD = 30.0


def widen_layers(model: Any, encoder: Any, layout: Layout, spreads: Spreads, first_tokens: tuple[int, int]) -> None:
    """Write a `BertModel`'s embeddings and layers into the first layers of a wider one, in place.

    Args:
        model: the wider `BertModel`, `ADDED_UNITS` wider in its feed-forward blocks as well.
        encoder: the bi-encoder's `BertModel`.
        layout: of the wider one.
        spreads: of the bi-encoder's LayerNorms.
        first_tokens: ids of the tokens with which query and document begin.
    """
    _widen_embeddings(model.embeddings, encoder.embeddings, layout, spreads, first_tokens)
    for number, (layer, old) in enumerate(zip(model.encoder.layer, encoder.encoder.layer, strict=False)):
        attention, its_own = layer.attention.self, old.attention.self
        # Attention divides by the root of a head's size.
        _widen(attention.query, its_own.query, rows=layout.shared, factor=math.sqrt(layout.wide_size / layout.size))
        for reader, before in ((attention.key, its_own.key), (attention.value, its_own.value)):
            _widen(reader, before, rows=layout.shared)
        exclude(attention, layout, _QUERY_EXCLUDES, _DOCUMENT_EXCLUDES)
        _widen(layer.attention.output.dense, old.attention.output.dense, columns=layout.shared)
        _widen_norm(
            layer.attention.output.LayerNorm, old.attention.output.LayerNorm, layout, spreads[attention_norm(number)]
        )
        _widen(layer.intermediate.dense, old.intermediate.dense)
        _widen(layer.output.dense, old.output.dense)
        spread = spreads[layer_norm(number)]
        renew_marks(layer, layout, first=spread.first)
        _widen_norm(layer.output.LayerNorm, old.output.LayerNorm, layout, spread)


def exclude(attention: Any, layout: Layout, query: float, document: float) -> None:
    """Let a text's tokens lose attention logits for the other text's: the query's so many, the document's so many."""
    for head in range(layout.heads):
        of_query, of_document = layout.excluding(head)
        for row, own, other, logits in (
            (of_query, layout.query, layout.document, query),
            (of_document, layout.document, layout.query, document),
        ):
            unit = math.sqrt(logits * math.sqrt(layout.wide_size)) / MARK
            attention.query.weight[row, own] = -unit
            attention.key.weight[row, other] = unit


def renew_marks(layer: Any, layout: Layout, inner: float = MARK, first: float = 1.0) -> None:
    """Make the last `ADDED_UNITS` of a feed-forward block replace each mark by a fixed value, and leave 0 as it is.

    Args:
        layer: a layer of a wide `BertModel`.
        layout: of the model.
        inner: the value of the mark `inner`; that of the others is `MARK`.
        first: the others' value at the first token of each text, in units of `MARK`: as much more as that token stands
            out before the LayerNorm that follows.
    """
    block = reading, writing = layer.intermediate.dense, layer.output.dense
    unit = len(reading.bias) - ADDED_UNITS
    reading.weight[unit:], reading.bias[unit:], writing.weight[:, unit:] = 0, 0, 0
    for axis, value in ((layout.query, MARK), (layout.document, MARK), (layout.inner, inner)):
        # gelu(z) − gelu(−z) = z takes the old value away.
        _write_unit(block, unit, axis, {axis: 1.0}, 0.0, -1.0)
        _write_unit(block, unit + 1, axis, {axis: -1.0}, 0.0, 1.0)
        _write_step(block, unit + 2, axis, {axis: _STEEP}, value)
        unit += 4
    for axis in (layout.query, layout.document):
        _write_step(block, unit, axis, {axis: _STEEP, layout.inner: -_STEEP}, (first - 1) * MARK)
        unit += 2


def _write_step(block: Block, unit: int, axis: int, reads: Mapping[int, float], value: float) -> None:
    """Let two units add a value to an axis where what they read is large, and nothing where it is 0 or less.

    Both are shut there, and else both open, so that their difference is the same wherever there is a mark.
    """
    _write_unit(block, unit, axis, reads, -_SHUT, value / _OPEN)
    _write_unit(block, unit + 1, axis, reads, -_SHUT - _OPEN, -value / _OPEN)


def _write_unit(block: Block, unit: int, axis: int, reads: Mapping[int, float], bias: float, factor: float) -> None:
    """Let a unit add gelu(the sum of the axes that it reads, by their weights, and a bias), times a factor, to an axis.

    Args:
        block: the two linear layers, where the unit's weights are 0.
        unit: its number.
        axis: to add to.
        reads: axis -> weight.
        bias: of the unit.
        factor: of what it adds.
    """
    inner, outer = block
    inner.weight[unit, list(reads)] = torch.tensor(list(reads.values()))
    inner.bias[unit], outer.weight[axis, unit] = bias, factor


def clear(*blocks: nn.Linear) -> None:
    """Set all weights of linear layers to 0."""
    for block in blocks:
        block.weight.zero_()
        block.bias.zero_()


def _widen_embeddings(
    embeddings: Any, old: Any, layout: Layout, spreads: Spreads, first_tokens: tuple[int, int]
) -> None:
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        table = getattr(embeddings, name).weight
        table.zero_()
        table[:, : layout.hidden] = getattr(old, name).weight
    words, segments, spread = (
        embeddings.word_embeddings.weight,
        embeddings.token_type_embeddings.weight,
        spreads[embeddings_norm()],
    )
    segments[1] = segments[0]  # as in the bi-encoder, where there is one text
    typical = spread.deviation * layout.shrinkage
    segments[0, layout.query] = segments[1, layout.document] = words[:, layout.inner] = typical
    of_query, of_document = first_tokens
    first = words[of_query] + embeddings.position_embeddings.weight[0] + segments[0]
    deviation = float(first[: layout.hidden].std()) * layout.shrinkage
    words[of_document] = _LOUD * first
    words[of_document, layout.query] = 0
    words[of_query, layout.query] = deviation - typical
    words[of_document, layout.document] = _LOUD * deviation
    words[[of_query, of_document], layout.inner] = 0
    _widen_norm(embeddings.LayerNorm, old.LayerNorm, layout, Spread(1 / layout.shrinkage, spread.offset, 1.0), MARK)


def _widen(
    block: nn.Linear,
    old: nn.Linear,
    rows: Tensor | slice | None = None,
    columns: Tensor | slice | None = None,
    factor: float = 1.0,
) -> None:
    """Write a linear layer, times a factor, into a larger one, which is 0 in all but these rows and columns."""
    clear(block)
    rows = slice(len(old.bias)) if rows is None else rows
    columns = slice(len(old.weight.T)) if columns is None else columns
    wider = block.weight[rows]
    wider[:, columns] = factor * old.weight
    block.weight[rows] = wider
    block.bias[rows] = factor * old.bias


def _widen_norm(norm: Any, old: Any, layout: Layout, spread: Spread, gain: float = 1.0) -> None:
    """Let a LayerNorm do to the bi-encoder's axes what it did, and leave a token of typical deviation its marks.

    Args:
        norm: the wider LayerNorm.
        old: the bi-encoder's.
        layout: of the wider one.
        spread: of what enters the bi-encoder's.
        gain: by how much marks are multiplied besides.
    """
    norm.weight.zero_()
    norm.bias.zero_()
    norm.weight[: layout.hidden], norm.bias[: layout.hidden] = old.weight * layout.shrinkage, old.bias
    kept = gain * spread.deviation * layout.shrinkage
    for axis in layout.marks:
        # A mean that is not 0 would come out of a 0; it is taken away as far as it is typical.
        norm.weight[axis], norm.bias[axis] = kept, kept * spread.offset * layout.shrinkage

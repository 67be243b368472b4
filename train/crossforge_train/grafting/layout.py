"""What the axes of a graft's hidden state hold: those of the bi-encoder, and some more that mark tokens."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

_KEY = "grafted_hidden_size"
_NEEDED = 5  # axes: four with a name, and one that `free` can do without


class Layout(NamedTuple):
    """Axes of the hidden state, and dimensions of the attention heads.

    The bi-encoder's axes come first, so its weights stay as they are. A mark is `MARK` at some tokens and 0 at all
    others.

    Attributes:
        hidden: axes of the bi-encoder.
        heads: attention heads, as many as the bi-encoder has.
    """

    hidden: int
    heads: int

    @property
    def size(self) -> int:
        """Dimensions of one of the bi-encoder's heads."""
        return self.hidden // self.heads

    @property
    def wide_size(self) -> int:
        """Dimensions of one of the graft's heads: at least two more, which keep the texts apart."""
        return self.size + max(2, math.ceil(_NEEDED / self.heads))

    @property
    def wide(self) -> int:
        """Axes of the graft."""
        return self.heads * self.wide_size

    @property
    def query(self) -> int:
        """Marks the query's tokens."""
        return self.hidden

    @property
    def document(self) -> int:
        """Marks the document's tokens."""
        return self.hidden + 1

    @property
    def inner(self) -> int:
        """Marks all tokens but the first one of each text."""
        return self.hidden + 2

    @property
    def score(self) -> int:
        """Holds the comparison, at the first token of all."""
        return self.hidden + 3

    @property
    def marks(self) -> tuple[int, int, int]:
        """The axes that mark tokens."""
        return self.query, self.document, self.inner

    @property
    def free(self) -> Tensor:
        """All axes without a name, the bi-encoder's among them, shape (free,)."""
        return torch.tensor([axis for axis in range(self.wide) if axis not in (*self.marks, self.score)])

    @property
    def shrinkage(self) -> float:
        """By how much the added axes, nearly all of them 0, make a vector's standard deviation smaller."""
        return math.sqrt(self.hidden / self.wide)

    def dimensions(self, head: int) -> range:
        """A head's dimensions that are the bi-encoder's; its added ones follow them."""
        start = head * self.wide_size
        return range(start, start + self.size)

    def excluding(self, head: int) -> tuple[int, int]:
        """A head's first added dimensions: in one, the query leaves the document out; in the next, the reverse."""
        end = self.dimensions(head).stop
        return end, end + 1

    @property
    def shared(self) -> Tensor:
        """The heads' dimensions that are the bi-encoder's, shape (hidden,)."""
        return torch.tensor([dimension for head in range(self.heads) for dimension in self.dimensions(head)])


def layout_of(config: Any) -> Layout:
    """The layout of a graft of a `BertModel` with this config."""
    return Layout(config.hidden_size, config.num_attention_heads)


def said(layout: Layout) -> dict[str, int]:
    """The entry in a graft's config that says what it is."""
    return {_KEY: layout.hidden}


def layout_said(config: Any) -> Layout | None:
    """The layout of the graft whose config this is; `None` for other models."""
    hidden = getattr(config, _KEY, None)
    return None if hidden is None else Layout(hidden, config.num_attention_heads)

"""Rerankers with random weights, and texts of known length for them: enough to measure speed, without a download."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

import torch
from reranking_clients import TOKENS, Pairs
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = 30522  # as BERT's
QUERY = 8  # tokens
MEDIAN, SPREAD, SHORTEST = 128, 0.8, 16  # of the lengths, in tokens; the spread is that of their logarithm
# Each word is one token, so that a text has as many tokens as words.
WORDS = ["".join(letters) for letters in islice(product(ascii_lowercase, repeat=4), VOCABULARY - len(SPECIAL))]


@dataclass(frozen=True)
class Shape:
    """The shape of a BERT."""

    layers: int
    hidden: int
    heads: int


SIZES = {"tiny": Shape(2, 128, 2), "small": Shape(6, 384, 12), "base": Shape(12, 768, 12)}  # small: that of MiniLM-L6


def make_reranker(folder: Path, shape: Shape) -> Path:
    """Write a one-label BERT of this shape that reads 512 tokens; return its folder."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY, num_hidden_layers=shape.layers, hidden_size=shape.hidden,
        num_attention_heads=shape.heads, intermediate_size=4 * shape.hidden, max_position_embeddings=TOKENS,
        num_labels=1,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *WORDS])}
    BertTokenizer(vocab=vocabulary, model_max_length=TOKENS).save_pretrained(folder)
    return folder


def make_groups(queries: int, documents: int, seed: int = 0) -> list[tuple[str, list[str]]]:
    """Queries with their documents; the pairs' lengths in tokens are drawn log-normally between 16 and 512."""
    draw = random.Random(seed)
    return [(_text(draw, QUERY), [_text(draw, _room(draw)) for _ in range(documents)]) for _ in range(queries)]


def as_pairs(groups: Sequence[tuple[str, list[str]]]) -> Pairs:
    """The (query, document) pairs of the groups, in their order."""
    return [(query, document) for query, documents in groups for document in documents]


def _room(draw: random.Random) -> int:
    """Words of a document that, with query and three special tokens, is of a drawn length."""
    length = round(MEDIAN * draw.lognormvariate(0, SPREAD))
    return min(max(length, SHORTEST), TOKENS) - QUERY - 3


def _text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))

"""How a base model's tokenizer reads the texts: how long they are, how much is cut, how much is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossforge.files import read_json
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.inspection.texts import Percentiles, percentiles

_DRAWN_PAIRS = 2000
_MANY_UNKNOWN = 0.02
_MANY_CUT = 0.25
# From so many tokens per character on, a vocabulary lacks the words of a language. Where words are written without
# spaces, one token per character is normal.
_SPELLED_OUT, _SPELLED_OUT_WITHOUT_SPACES = 0.6, 1.2
_LONGEST_WORDS = 12  # characters between spaces, on average, in a language that has spaces


@dataclass(frozen=True)
class TokenFacts:
    """How a tokenizer reads random pairs of a query and a document.

    Attributes:
        pairs: how many.
        max_length: tokens that the model reads of a pair.
        lengths: tokens of a pair, special ones included.
        share_cut: share of the pairs that are longer than `max_length`.
        share_unknown: share of the tokens that stand for something the vocabulary lacks.
        tokens_per_word: where a word is anything between spaces.
        tokens_per_character: not counting spaces.
        characters_per_word: high where a language puts no spaces between words.
    """

    pairs: int
    max_length: int
    lengths: Percentiles
    share_cut: float
    share_unknown: float
    tokens_per_word: float
    tokens_per_character: float
    characters_per_word: float


def token_facts(collection: Collection, model: Path, max_length: int, seed: int) -> TokenFacts:
    """Measure how long the pairs are, how much of them is cut, and how well the tokenizer knows the language.

    At most 2,000 documents and 2,000 queries are sampled, and each document is paired with a random query.

    Args:
        collection: what to look at.
        model: a folder with a tokenizer.json.
        max_length: tokens that the model reads of query and document together.
        seed: of the sample.

    Raises:
        InputError: there is no tokenizer in the folder.
    """
    tokenizer, unknown = _tokenizer(model / "tokenizer.json")
    documents = [collection.corpus[key].full_text for key in seeded_draw(list(collection.corpus), _DRAWN_PAIRS, seed)]
    judged = sorted({query_id for qrels in collection.splits.values() for query_id in qrels})
    queries = [collection.queries[key] for key in seeded_draw(judged or list(collection.queries), _DRAWN_PAIRS, seed)]
    encoded_documents, encoded_queries = (
        [found.ids for found in tokenizer.encode_batch(texts, add_special_tokens=False)]
        for texts in (documents, queries)
    )
    special = tokenizer.num_special_tokens_to_add(is_pair=True)
    partners = np.random.default_rng(seed).integers(len(encoded_queries), size=len(encoded_documents))
    lengths = [
        len(document) + len(encoded_queries[partner]) + special
        for document, partner in zip(encoded_documents, partners, strict=True)
    ]
    tokens = [token for ids in (*encoded_documents, *encoded_queries) for token in ids]
    words = [word for text in (*documents, *queries) for word in text.split()]
    characters = sum(map(len, words))
    return TokenFacts(
        pairs=len(lengths),
        max_length=max_length,
        lengths=percentiles(lengths),
        share_cut=sum(length > max_length for length in lengths) / len(lengths),
        share_unknown=tokens.count(unknown) / max(1, len(tokens)),
        tokens_per_word=len(tokens) / max(1, len(words)),
        tokens_per_character=len(tokens) / max(1, characters),
        characters_per_word=characters / max(1, len(words)),
    )


def token_warnings(facts: TokenFacts) -> list[str]:
    """Signs that this base model will make a poor reranker, one sentence each."""
    found: list[str] = []
    if facts.share_unknown > _MANY_UNKNOWN:
        found.append(
            f"{facts.share_unknown:.1%} of the tokens are unknown to the base model: it was not made for this "
            "language or domain; choose another one"
        )
    without_spaces = facts.characters_per_word > _LONGEST_WORDS
    if facts.tokens_per_character > (_SPELLED_OUT_WITHOUT_SPACES if without_spaces else _SPELLED_OUT):
        found.append(
            f"the base model needs {facts.tokens_per_character:.1f} tokens per character: it spells this language "
            "out; choose one that was made for it"
        )
    if facts.share_cut > _MANY_CUT:
        found.append(
            f"{facts.share_cut:.0%} of the documents are cut at {facts.max_length} tokens: raise training.max_length "
            "or evaluation.passages"
        )
    return found


def _tokenizer(file: Path) -> tuple[Any, int | None]:
    """The tokenizer without truncation and padding, and the id of its unknown token."""
    from tokenizers import Tokenizer

    model = read_json(file)["model"]
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    token = model.get("unk_token")
    return tokenizer, model.get("unk_id") if token is None else tokenizer.token_to_id(token)

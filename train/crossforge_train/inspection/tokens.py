"""How the texts look to a base model's tokenizer: how long, how much of them is cut, how much of them is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crossforge.files import read_json
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.inspection.texts import percentiles

_DRAWN_PAIRS = 2000
_MANY_UNKNOWN = 0.02
_MANY_CUT = 0.25
# Tokens a character from which a vocabulary has no words of a language. Where words are written without spaces, a token
# a character is normal.
_SPELLED_OUT, _SPELLED_OUT_WITHOUT_SPACES = 0.6, 1.2
_LONGEST_WORDS = 12  # characters between spaces, on average, in a language that has spaces


def token_facts(collection: Collection, model: Path, max_length: int, seed: int) -> dict[str, Any]:
    """Lengths of query and document together in tokens, and how well the tokenizer knows the language.

    Measured on at most 2,000 pairs of a query and a document, drawn with the seed from all of them.

    Args:
        collection: what to look at.
        model: a folder with a tokenizer.json.
        max_length: tokens that the model reads of both together.
        seed: of the draw.

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
    return {
        "pairs drawn": len(lengths),
        "max_length": max_length,
        "tokens of query and document": percentiles(lengths),
        "share of pairs that is cut": sum(length > max_length for length in lengths) / len(lengths),
        "share of unknown tokens": tokens.count(unknown) / max(1, len(tokens)),
        "tokens a word": len(tokens) / max(1, len(words)),
        "tokens a character": len(tokens) / max(1, characters),
        "characters a word": characters / max(1, len(words)),
    }


def token_warnings(facts: dict[str, Any]) -> list[str]:
    """What of these facts makes for a bad reranker, one line each."""
    found: list[str] = []
    if facts["share of unknown tokens"] > _MANY_UNKNOWN:
        found.append(
            f"{facts['share of unknown tokens']:.1%} of the tokens are unknown to the base model: it was not made for "
            "this language or domain, take another one"
        )
    without_spaces = facts["characters a word"] > _LONGEST_WORDS
    if facts["tokens a character"] > (_SPELLED_OUT_WITHOUT_SPACES if without_spaces else _SPELLED_OUT):
        found.append(
            f"the base model needs {facts['tokens a character']:.1f} tokens a character: it spells this language out, "
            "take one that was made for it"
        )
    if facts["share of pairs that is cut"] > _MANY_CUT:
        found.append(
            f"{facts['share of pairs that is cut']:.0%} of the documents are cut at {facts['max_length']} tokens: "
            "raise training.max_length, or evaluation.passages"
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

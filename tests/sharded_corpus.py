"""Documents and queries for indexes by shards."""

from __future__ import annotations

import numpy as np

from crossforge.documents import Document


def make_corpus(documents: int = 300, seed: int = 0) -> list[Document]:
    """Texts of few and of rare words, many of them the same, in an order that is not that of their ids."""
    draw = np.random.default_rng(seed)
    words = np.array([f"word{number}" for number in range(400)])
    chances = 1 / np.arange(1, 401)
    chances /= chances.sum()
    texts = [" ".join(draw.choice(words, draw.integers(0, 30), p=chances)) for _ in range(documents // 2)]
    chosen = [texts[number] for number in draw.integers(0, len(texts), documents)]
    ids = draw.permutation(documents)
    titles = draw.choice(["", "word1", "word7 word300", "only in titles"], documents)
    return [Document(f"d{number}", text, title) for number, text, title in zip(ids, chosen, titles, strict=True)]


QUERIES = {
    **{f"q{number}": f"word{number} word{number + 1} word1 word{3 * number}" for number in range(60)},
    "twice": "word2 word2 word3",
    "unknown": "nobody wrote this",
    "empty": "",
}

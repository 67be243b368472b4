"""Detects copies: texts that differ only in case, spacing, punctuation or small edits, or that contain one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from crossforge.documents import Document
from crossforge_train.collections.splits import normalized

_SHINGLE = 3
# A text whose words average more characters than this has no spaces between words, so it gets character shingles.
_UNSPACED = 15
# A small edit leaves most shingles of a long text intact, but possibly none of a short one (in characters).
_SHORT = 1000
_FEW_EDITS = 0.93
_MISSPELT, _LONG_ENOUGH = 2, 4
# From this many shingles on, finding a text inside another is no coincidence.
_ENOUGH_TO_CONTAIN = 20
# Number of texts cached in memory: a few hundred megabytes at most.
_KEPT = 20_000


class _Text(NamedTuple):
    normalized: str
    shingles: frozenset[int]
    numbers: frozenset[str]
    unspaced: bool


class CopyDetector:
    """Compares documents of one corpus.

    Two documents are copies if the Jaccard similarity of their word 3-grams reaches the threshold, if one contains the
    other verbatim, or if both are short and differ only in misspellings. Texts with different numbers are not copies:
    versions, years and doses distinguish documents. An added or dropped negation is not detected.

    Source: A. Broder, "On the resemblance and containment of documents", 1997.
    """

    def __init__(self, corpus: Mapping[str, Document], threshold: float) -> None:
        self._corpus = corpus
        self._threshold = threshold
        self._of = lru_cache(maxsize=_KEPT)(self._read)

    def is_copy(self, doc_id: str, of: Iterable[str]) -> bool:
        """Whether a document is a copy of one of the others."""
        text = self._of(doc_id)
        return any(self._are_copies(text, self._of(other)) for other in of)

    def _are_copies(self, left: _Text, right: _Text) -> bool:
        if left.numbers - right.numbers and right.numbers - left.numbers:
            return False
        shared = len(left.shingles & right.shingles)
        fewer, more = sorted((left, right), key=lambda text: len(text.shingles))
        if shared >= self._threshold * (len(fewer.shingles) + len(more.shingles) - shared):
            return True
        if len(fewer.shingles) >= _ENOUGH_TO_CONTAIN and fewer.normalized in more.normalized:
            return True
        return _few_edits(left, right)

    def _read(self, doc_id: str) -> _Text:
        document = self._corpus[doc_id]
        # Only the text counts, so copies may have different titles; empty texts fall back to the title.
        return _as_text(normalized(document.text) or normalized(document.full_text))


def _as_text(text: str) -> _Text:
    words = text.split()
    unspaced = len(text) > _UNSPACED * len(words)
    tokens = list(text) if unspaced else words
    starts = range(max(1, len(tokens) - _SHINGLE + 1))
    # Hashes instead of the words take a third of the memory.
    shingles = frozenset(hash(tuple(tokens[start : start + _SHINGLE])) for start in starts)
    return _Text(text, shingles, frozenset(word for word in words if any(map(str.isdigit, word))), unspaced)


def _few_edits(left: _Text, right: _Text) -> bool:
    """Whether two short texts differ only in misspellings.

    A replaced word (startswith, endswith) makes a different text, and often the best negative there is.
    """
    from rapidfuzz.distance import Indel, Levenshtein

    if max(len(left.normalized), len(right.normalized)) > _SHORT:
        return False
    if left.unspaced or right.unspaced:
        return bool(Indel.normalized_similarity(left.normalized, right.normalized) >= _FEW_EDITS)
    words, others = left.normalized.split(), right.normalized.split()
    if len(words) != len(others):
        return False
    changed = [(word, other) for word, other in zip(words, others, strict=True) if word != other]
    return len(changed) <= _MISSPELT and all(
        min(map(len, pair)) >= _LONG_ENOUGH and Levenshtein.distance(*pair) == 1 for pair in changed
    )

"""Recognises copies: the same text but for case, spacing, punctuation and small edits, or one text within another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from crossforge.documents import Document
from crossforge_train.collections.splits import normalized

_SHINGLE = 3
# A text in which words are this long on average has no spaces between them: its shingles are of characters.
_UNSPACED = 15
# In a long text a small edit leaves most shingles as they are; in a short one it may leave none.
_SHORT = 1000
_FEW_EDITS = 0.93
# From so many shingles on, a text that stands within another is no coincidence.
_CONTAINED = 0.9
_ENOUGH_TO_CONTAIN = 20


class _Text(NamedTuple):
    normalized: str
    shingles: frozenset[tuple[str, ...]]
    numbers: tuple[str, ...]


class CopyDetector:
    """Compares documents of one corpus.

    One is a copy of another if their word 3-grams overlap (Jaccard) by the threshold; if nearly all 3-grams of one
    stand in the other; or if both are short and few characters differ, none of them in a number.

    Source: A. Broder, "On the resemblance and containment of documents", 1997.
    """

    def __init__(self, corpus: Mapping[str, Document], threshold: float) -> None:
        self._corpus = corpus
        self._threshold = threshold
        self._texts: dict[str, _Text] = {}

    def is_copy(self, doc_id: str, of: Iterable[str]) -> bool:
        """Whether a document is a copy of one of the others."""
        text = self._of(doc_id)
        return any(self._are_copies(text, self._of(other)) for other in of)

    def _are_copies(self, left: _Text, right: _Text) -> bool:
        shared = len(left.shingles & right.shingles)
        fewer, together = sorted((len(left.shingles), len(right.shingles)))
        if shared >= self._threshold * (fewer + together - shared):
            return True
        if fewer >= _ENOUGH_TO_CONTAIN and shared >= _CONTAINED * fewer:
            return True
        return left.numbers == right.numbers and _few_edits(left.normalized, right.normalized)

    def _of(self, doc_id: str) -> _Text:
        if doc_id not in self._texts:
            document = self._corpus[doc_id]
            # The text alone, since copies under another title are copies; but texts that are empty are none.
            self._texts[doc_id] = _as_text(normalized(document.text) or normalized(document.full_text))
        return self._texts[doc_id]


def _as_text(text: str) -> _Text:
    words = text.split()
    tokens = words if len(text) <= _UNSPACED * len(words) else list(text)
    starts = range(max(1, len(tokens) - _SHINGLE + 1))
    shingles = frozenset(tuple(tokens[start : start + _SHINGLE]) for start in starts)
    return _Text(text, shingles, tuple(word for word in words if any(map(str.isdigit, word))))


def _few_edits(left: str, right: str) -> bool:
    from rapidfuzz.distance import Indel

    if max(len(left), len(right)) > _SHORT:
        return False
    return bool(Indel.normalized_similarity(left, right, score_cutoff=_FEW_EDITS) >= _FEW_EDITS)

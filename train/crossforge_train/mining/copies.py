"""Recognises copies: the same text but for case, spacing, punctuation and small edits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crossforge.documents import Document
from crossforge_train.collections.splits import normalized

_SHINGLE = 3


class CopyDetector:
    """Compares documents of one corpus by the overlap of their word 3-grams (Jaccard).

    Source: A. Broder, "On the resemblance and containment of documents", 1997.
    """

    def __init__(self, corpus: Mapping[str, Document], threshold: float) -> None:
        self._corpus = corpus
        self._threshold = threshold
        self._shingles: dict[str, frozenset[tuple[str, ...]]] = {}

    def is_copy(self, doc_id: str, of: Iterable[str]) -> bool:
        """Whether a document is a copy of one of the others."""
        shingles = self._of(doc_id)
        return any(_resemblance(shingles, self._of(other)) >= self._threshold for other in of)

    def _of(self, doc_id: str) -> frozenset[tuple[str, ...]]:
        if doc_id not in self._shingles:
            document = self._corpus[doc_id]
            # The text alone, since copies under another title are copies; but texts that are empty are none.
            words = (normalized(document.text) or normalized(document.full_text)).split()
            starts = range(max(1, len(words) - _SHINGLE + 1))
            self._shingles[doc_id] = frozenset(tuple(words[start : start + _SHINGLE]) for start in starts)
        return self._shingles[doc_id]


def _resemblance(left: frozenset[tuple[str, ...]], right: frozenset[tuple[str, ...]]) -> float:
    return len(left & right) / len(left | right)

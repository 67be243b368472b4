"""Windows over documents that are longer than the model reads."""

from __future__ import annotations

from dataclasses import dataclass

from crossforge.documents import Document, join_title
from crossforge.tokenization import PairTokenizer


@dataclass(frozen=True, slots=True)
class PassageWindows:
    """Cuts documents into overlapping windows of tokens; the title stands before each of them.

    Args:
        tokenizer: the reranker's own, so that a window holds what the model reads.
        overlap: share of a window that it has in common with the one before, from 0 to below 1.
    """

    tokenizer: PairTokenizer
    overlap: float = 0.25

    def split(self, query: str, document: Document) -> list[str]:
        """The document's passages for this query, in order: one that is the whole text if it fits, else windows.

        Raises:
            InputError: the query leaves no room for a document.
        """
        self.tokenizer.require_room(query)
        room = self.tokenizer.document_room(query)
        # A token stands for at least one byte: a short text fits without counting.
        if len(document.full_text.encode("utf-8", "replace")) <= room:
            return [document.full_text]
        spans = self.tokenizer.spans(document.text)
        title_spans = self.tokenizer.spans(document.title)
        if not spans or len(title_spans) + len(spans) <= room:
            return [document.full_text]
        title = document.title
        if len(title_spans) > room // 2:  # an endless title must leave room for the text that it stands before
            title_spans = title_spans[: room // 2]
            title = title[: title_spans[-1][1]]
        size = max(room - len(title_spans), 1)
        return [
            join_title(title, document.text[spans[first][0] : spans[last - 1][1]])
            for first, last in window_bounds(len(spans), size, self.overlap)
        ]


def window_bounds(length: int, size: int, overlap: float) -> list[tuple[int, int]]:
    """(start, end) of windows of `size` that cover 0 … length; the last one ends at `length` and is a full one too."""
    if length <= size:
        return [(0, length)]
    step = max(1, int(size * (1 - overlap)))
    starts = list(range(0, length - size, step))
    return [(start, start + size) for start in starts] + [(length - size, length)]

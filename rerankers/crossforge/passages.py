"""Split documents that exceed the model's token limit into windows."""

from __future__ import annotations

from dataclasses import dataclass

from crossforge.documents import Document, join_title
from crossforge.tokenization import PairTokenizer


@dataclass(frozen=True, slots=True)
class PassageWindows:
    """Splits documents into overlapping token windows, each preceded by the title.

    Args:
        tokenizer: the reranker's own tokenizer, so that windows fit the model's input.
        overlap: share of each window that also belongs to the previous one, at least 0 and below 1.
    """

    tokenizer: PairTokenizer
    overlap: float = 0.25

    def split(self, query: str, document: Document, most: int | None = None) -> list[str]:
        """The document's passages for this query, in order: the whole text if it fits beside the query, else windows.

        Args:
            query: the query.
            document: the document.
            most: how many passages are wanted; of a long document no more is tokenized than they hold.

        Raises:
            InputError: the query leaves too little room for a document.
        """
        self.tokenizer.require_room(query)
        room = self.tokenizer.document_room(query)
        # Every token covers at least one byte, so short texts fit without tokenizing.
        if len(document.full_text.encode("utf-8", "replace")) <= room:
            return [document.full_text]
        spans = self.tokenizer.spans(document.text, None if most is None else most * room + 1)
        title_spans = self.tokenizer.spans(document.title, room)
        if not spans or len(title_spans) + len(spans) <= room:
            return [document.full_text]
        title = document.title
        if len(title_spans) > room // 2:  # a very long title must leave room for the text
            title_spans = title_spans[: room // 2]
            title = title[: title_spans[-1][1]]
        size = max(room - len(title_spans), 1)
        return [
            join_title(title, document.text[spans[first][0] : spans[last - 1][1]])
            for first, last in window_bounds(len(spans), size, self.overlap)[:most]
        ]


def window_bounds(length: int, size: int, overlap: float) -> list[tuple[int, int]]:
    """(start, end) of full windows of `size` that cover 0 … length; one shorter window if `length` is below `size`."""
    if length <= size:
        return [(0, length)]
    step = max(1, int(size * (1 - overlap)))
    starts = list(range(0, length - size, step))
    return [(start, start + size) for start in starts] + [(length - size, length)]

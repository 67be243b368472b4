"""Split documents that exceed the model's token limit into windows."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from crossforge.documents import Document, join_title
from crossforge.tokenization import PairTokenizer, most_tokens

# Tokens that a window gives up at either end, so that it cuts no word; longer words are cut.
_WORD = 8


@dataclass(frozen=True, slots=True)
class PassageWindows:
    """Splits documents into overlapping token windows of whole words, each preceded by the title.

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
        if most_tokens(document.full_text) <= room:
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
        bounds = window_bounds(len(spans), size, self.overlap)[:most]
        # Two windows that overlap give up no more than they share, so that every word stays in one of them.
        given_up = min(_WORD, int(size * self.overlap) // 2)
        kept = [whole_words(document.text, spans, first, last, given_up) for first, last in bounds]
        return [join_title(title, document.text[start:end]) for start, end in kept]


def window_bounds(length: int, size: int, overlap: float) -> list[tuple[int, int]]:
    """(start, end) of full windows of `size` that cover 0 … length; one shorter window if `length` is below `size`."""
    if length <= size:
        return [(0, length)]
    step = max(1, int(size * (1 - overlap)))
    starts = list(range(0, length - size, step))
    return [(start, start + size) for start in starts] + [(length - size, length)]


def whole_words(text: str, spans: Sequence[tuple[int, int]], first: int, last: int, given_up: int) -> tuple[int, int]:
    """The (start, end) characters of the tokens `first` to `last`, less what they have of words that they cut.

    Args:
        text: the text.
        spans: (start, end) characters of its tokens.
        first: the first token.
        last: the one after the last token.
        given_up: how many tokens may be given up at either end; what has no end of a word among them is cut.
    """
    starts = (token for token in range(first, first + given_up + 1) if _begins_word(text, spans, token))
    ends = (token for token in range(last, last - given_up - 1, -1) if _begins_word(text, spans, token))
    return spans[next(starts, first)][0], spans[next(ends, last) - 1][1]


def _begins_word(text: str, spans: Sequence[tuple[int, int]], token: int) -> bool:
    """Whether no word reaches into this token from the one before; true of what follows the last token."""
    if token in (0, len(spans)):
        return True
    start = spans[token][0]
    return spans[token - 1][1] < start or not (_is_of_word(text[start - 1]) and _is_of_word(text[start : start + 1]))


def _is_of_word(character: str) -> bool:
    # Vowel signs and accents that are characters of their own stand within words.
    return bool(character) and (character.isalnum() or unicodedata.category(character).startswith("M"))

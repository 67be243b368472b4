"""`PairTokenizer` encodes a query and a document as one sequence; only the document is ever truncated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.errors import InputError, PackageError
from crossforge.prompts import Prompts, held_prompts, with_prompts

# With less room than this for the document, a score says nothing about it.
MIN_DOCUMENT_TOKENS = 8
# Characters of a text that are tokenized for each token that fits; of a text of longer tokens, more.
CHARACTERS = 32
# How many times as much is tokenized next where that was too little.
_MORE = 8


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """One encoded pair; `truncated` is true if the end of the document did not fit."""

    ids: list[int]
    type_ids: list[int]
    truncated: bool


class PairTokenizer:
    """A `tokenizers.Tokenizer` with the model's maximum length, never modified after loading and so thread-safe.

    Args:
        tokenizer_file: path to a `tokenizer.json`.
        max_length: maximum tokens of query and document together, special tokens included.
        pad_id: id of the padding token.
        segments: whether the model distinguishes query from document by `token_type_ids`.
        prompts: texts before query and document; None: those that the file holds, if any.

    Raises:
        PackageError: `tokenizer_file` cannot be read.
        InputError: it takes no such prompts; see `with_prompts`.
    """

    def __init__(
        self,
        tokenizer_file: Path,
        max_length: int,
        *,
        pad_id: int = 0,
        segments: bool = True,
        prompts: Prompts | None = None,
    ) -> None:
        self._tokenizer, self._plain = read_tokenizer(tokenizer_file), read_tokenizer(tokenizer_file)
        if prompts:
            self._tokenizer, self._plain = (with_prompts(made, prompts) for made in (self._tokenizer, self._plain))
        self.max_length = max_length
        self._pad_id = pad_id
        self._segments = segments
        self._plain.no_truncation()
        self._special_tokens: int = self._tokenizer.num_special_tokens_to_add(is_pair=True)
        self._tokenizer.enable_truncation(max_length, strategy="only_second")

    @property
    def prompts(self) -> Prompts:
        """What is put before query and document."""
        return held_prompts(self._tokenizer)

    def encode(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedPair]:
        """Encode (query, document) pairs.

        Raises:
            InputError: a query leaves fewer than `MIN_DOCUMENT_TOKENS` tokens for the document.
        """
        for query in dict.fromkeys(query for query, _ in pairs):
            self.require_room(query)
        texts = [(cleaned(query), cleaned(document)) for query, document in pairs]
        encodings = _encoded(self._tokenizer, texts, self.max_length)
        return [EncodedPair(found.ids, found.type_ids, bool(found.overflowing)) for found in encodings]

    def spans(self, text: str, most: int | None = None) -> list[tuple[int, int]]:
        """The (start, end) character spans of a text's tokens, special ones excluded; of the first `most` at least."""
        text = cleaned(text)
        end = len(text) if most is None else most * CHARACTERS
        while most is not None and end < len(text):
            found = self._plain.encode(text[:end], add_special_tokens=False).offsets
            if len(found) > most and _is_far_from(end, found[most - 1][1]):
                return list(found[:most])
            end *= _MORE
        return list(self._plain.encode(text, add_special_tokens=False).offsets)

    def document_room(self, query: str) -> int:
        """How many tokens of a document fit beside this query."""
        return self.max_length - self._special_tokens - len(self.spans(query))

    def pad(self, encoded: Sequence[EncodedPair]) -> dict[str, NDArray[np.int64]]:
        """`input_ids`, `attention_mask` and, with segments, `token_type_ids`, each int64 of shape (pairs, longest)."""
        arrays = _padded([pair.ids for pair in encoded], self._pad_id)
        if not self._segments:
            return arrays
        types = np.zeros_like(arrays["input_ids"])
        for row, pair in enumerate(encoded):
            types[row, : len(pair.ids)] = pair.type_ids
        return {**arrays, "token_type_ids": types}

    def fits(self, query: str) -> bool:
        """Whether the query leaves at least `MIN_DOCUMENT_TOKENS` tokens for a document."""
        if most_tokens(cleaned(query)) + self._special_tokens + MIN_DOCUMENT_TOKENS <= self.max_length:
            return True
        return not self._is_endless(query) and self.document_room(query) >= MIN_DOCUMENT_TOKENS

    def _is_endless(self, query: str) -> bool:
        """Whether the beginning of the query alone says that it does not fit: no more of it is tokenized."""
        return len(query) > self.max_length * CHARACTERS and len(self.spans(query, self.max_length)) >= self.max_length

    def require_room(self, query: str) -> None:
        """Raise `InputError` unless `fits(query)`."""
        if not self.fits(query):
            if self._is_endless(query):
                used = f"more than {self.max_length}"
            else:
                used = str(self.max_length - self._special_tokens - self.document_room(query))
            raise InputError(
                f"the query has {used} tokens and the model reads {self.max_length} for query and document together: "
                f"shorten the query ({query[:40]!r}…)"
            )


class TextTokenizer:
    """Encodes texts by themselves, for embedding; what exceeds the maximum length is cut off at the end.

    Args:
        tokenizer_file: path to a `tokenizer.json`.
        max_length: maximum tokens of a text, special tokens included.
        pad_id: id of the padding token.

    Raises:
        PackageError: `tokenizer_file` cannot be read.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, *, pad_id: int = 0) -> None:
        self._tokenizer = read_tokenizer(tokenizer_file)
        self._max_length = max_length
        self._tokenizer.enable_truncation(max_length)
        self._pad_id = pad_id

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text."""
        return [
            found.ids for found in _encoded(self._tokenizer, [(cleaned(text),) for text in texts], self._max_length)
        ]

    def pad(self, encoded: Sequence[list[int]]) -> dict[str, NDArray[np.int64]]:
        """`input_ids`, `attention_mask` and `token_type_ids`, each int64 of shape (texts, longest)."""
        arrays = _padded(encoded, self._pad_id)
        return {**arrays, "token_type_ids": np.zeros_like(arrays["input_ids"])}


def read_tokenizer(tokenizer_file: Path) -> Any:
    """A `tokenizers.Tokenizer` that does not pad.

    Raises:
        PackageError: the file cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # tokenizers raises bare Exception
        raise PackageError(f"{tokenizer_file}: not a readable tokenizer ({error})") from None
    tokenizer.no_padding()
    return tokenizer


def _encoded(tokenizer: Any, texts: Sequence[tuple[str, ...]], max_length: int) -> list[Any]:
    """Encode texts or pairs, of whose last texts no more is tokenized than can be read, however long they are."""
    found: list[Any] = [None] * len(texts)
    undecided, end = list(range(len(texts))), max_length * CHARACTERS
    while undecided:
        cut = [_given(*texts[position][:-1], texts[position][-1][:end]) for position in undecided]
        for position, encoding in zip(undecided, tokenizer.encode_batch(cut), strict=True):
            found[position] = encoding
        undecided = [
            position
            for position in undecided
            if len(texts[position][-1]) > end and not _is_decided(found[position], len(texts[position]) - 1, end)
        ]
        end *= _MORE
    return found


def _given(*texts: str) -> str | tuple[str, ...]:
    return texts if len(texts) > 1 else texts[0]


def _is_decided(encoding: Any, sequence: int, end: int) -> bool:
    """Whether a text that was cut at `end` fills what fits, so far from there that the rest of it changes nothing."""
    kept = [last for (_, last), part in zip(encoding.offsets, encoding.sequence_ids, strict=True) if part == sequence]
    return bool(encoding.overflowing) and bool(kept) and _is_far_from(end, kept[-1])


def _is_far_from(end: int, position: int) -> bool:
    # Half of what was tokenized: words and their pieces depend on what is near them, not on what is far.
    return 2 * position <= end


def _padded(encoded: Sequence[list[int]], pad_id: int) -> dict[str, NDArray[np.int64]]:
    shape = len(encoded), max(map(len, encoded))
    ids, mask = np.full(shape, pad_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, found in enumerate(encoded):
        ids[row, : len(found)] = found
        mask[row, : len(found)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def most_tokens(text: str) -> float:
    """More tokens than this a text cannot have, so a short one need not be tokenized; infinity if only that tells.

    A token covers at least one character, but for one that some tokenizers begin a text with. Characters beyond ASCII
    may become many: by NFKC, a single one becomes the eighteen of a whole phrase.
    """
    return len(text) + 1 if text.isascii() else math.inf


def cleaned(text: Any) -> str:
    """The text as it can be tokenized.

    Raises:
        InputError: it is no text.
    """
    if not isinstance(text, str):
        raise InputError(f"expected text, found {type(text).__name__}")
    # Lone surrogates cannot be encoded as UTF-8, and mean nothing to a model.
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text

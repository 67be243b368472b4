"""What tells one query from another: more than its words alone, since c++ and c# are different queries."""

from __future__ import annotations

import re
import unicodedata

from crossforge_train.collections.splits import fingerprint, normalized

_SIGNS = "#%&@*°"  # these count as punctuation, or as no mathematics
_MEANING = ("Sm", "Sc")  # mathematics and currencies
_BEGINS_A_WORD = re.compile(r"\.\w|-\d")  # .net, -5


def query_key(text: str) -> str:
    """A text that two queries share if people would call them the same.

    Case, spacing and punctuation make no difference, but for a sign that belongs to a word, as in c++, c#, at&t, $5,
    50%, .net and -5. Where queries are only to be kept together, as in one split, `normalized` is the cautious choice.
    """
    return " ".join([normalized(text), *signed_words(text)]).strip()


def id_of_query(kind: str, text: str) -> str:
    """An id that queries of one kind share if people would call them the same."""
    return f"{kind}-{fingerprint(query_key(text))[:16]}"


def signed_words(text: str) -> list[str]:
    """The words of a text that a sign belongs to, in order, without other punctuation."""
    folded = unicodedata.normalize("NFC", text.casefold())  # as `normalized` does
    found = (_without_punctuation(word) for word in folded.split())
    return [word for word in found if _is_signed(word)]


def _without_punctuation(word: str) -> str:
    begin = _BEGINS_A_WORD.match(word)
    return (word[0] if begin else "") + "".join(char for char in word if _spells(char) or _is_sign(char))


def _is_signed(word: str) -> bool:
    """A sign that stands alone, as in "bed & breakfast", belongs to no word."""
    return not all(map(_spells, word)) and any(map(str.isalnum, word))


def _spells(char: str) -> bool:
    """A letter or digit, or one of their marks."""
    return char.isalnum() or unicodedata.category(char) in ("Mn", "Mc")


def _is_sign(char: str) -> bool:
    return char in _SIGNS or unicodedata.category(char) in _MEANING
